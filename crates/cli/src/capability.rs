//! `libos cap`.

use agent_libos::abi::{Conditions, Effect, GrantSpec, capability};

use crate::{
    args::{CapCommand, EffectArg, GrantArgs, past::At},
    exit::{Exit, Failure},
    host::Host,
    show,
};

pub(crate) async fn run(host: &Host, command: CapCommand) -> Result<Exit, Failure> {
    let at = match &command {
        CapCommand::Ls { at, .. } => *at,
        _ => At { at: None },
    };
    let access = host.access_at(at).await?;
    let port = &access.port;
    match command {
        CapCommand::Ls { pid, all, at: _ } => {
            let list = agent_libos::capabilities(&**port, pid, all).await?;
            if host.json {
                for cap in &list {
                    show::json(&cap);
                }
            } else if list.is_empty() {
                let of = if all { "of a living process" } else { "in force" };
                say!("No capability {of}; `libos audit ls` tells of those there were.");
            } else {
                let rows: Vec<_> = list.iter().map(show::capability_row).collect();
                put!("{}", show::table(&show::CAPABILITY_HEADERS, &rows));
            }
        }
        CapCommand::Grant(args) => {
            let to = args.pid;
            let granted = port.call(capability::Grant { to, grant: spec(args) }).await?;
            if host.json {
                show::json(&serde_json::json!({ "capability": granted.capability }));
            } else {
                say!("{} is now {to}'s.", granted.capability);
            }
        }
        CapCommand::Revoke { capability, reason } => {
            let revoked = port.call(capability::Revoke { capability, reason }).await;
            let revoked = revoked.map_err(|error| {
                Failure::from(error).next("`libos cap ls --all` lists the capabilities")
            })?;
            let revoked = revoked.capabilities;
            if host.json {
                show::json(&serde_json::json!({ "revoked": revoked }));
            } else {
                let names: Vec<String> = revoked.iter().map(ToString::to_string).collect();
                say!("Taken back: {}.", names.join(", "));
            }
        }
        CapCommand::Why { pid, right, on } => {
            let why = port.call(capability::Explain { pid: Some(pid), right, on }).await?;
            if host.json {
                show::json(&why);
            } else {
                say!("{}", why.text);
                if !why.weighed.is_empty() {
                    let rows: Vec<_> = why.weighed.iter().map(show::capability_row).collect();
                    put!("\n{}", show::table(&show::CAPABILITY_HEADERS, &rows));
                }
            }
        }
    }
    access.close()?;
    Ok(Exit::Done)
}

fn spec(args: GrantArgs) -> GrantSpec {
    let effect = match args.effect {
        EffectArg::Allow => Effect::Allow,
        EffectArg::Ask => Effect::Ask,
        EffectArg::Deny => Effect::Deny,
    };
    let rights = args.rights.into_iter().collect();
    GrantSpec {
        effect,
        uses: args.uses,
        when: Conditions(args.when.into_iter().flat_map(|when| when.0).collect()),
        expires: args.expires,
        ..GrantSpec::allow(args.on, rights)
    }
}
