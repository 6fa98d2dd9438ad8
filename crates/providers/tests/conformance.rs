//! The providers keep their contracts, under every binding.

use std::{collections::BTreeMap, io, net::IpAddr, sync::Arc};

use libos_conformance::{site, suite};
use libos_port::BoxFuture;
use libos_providers::{
    FsProvider, HttpConfig, HttpProvider, Resolve, SecretSource, SecretSpec, Secrets, ShellConfig,
    ShellProvider, layers_missing,
};

/// Names have no addresses here.
struct NoNames;

impl Resolve for NoNames {
    fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
    }
}

fn http() -> HttpProvider {
    let source = ["printf", "%s", site::SECRET_VALUE].map(String::from);
    let spec = SecretSpec {
        source: SecretSource::Command(source.into()),
        hosts: vec![site::host()],
        headers: vec![site::SECRET_HEADER.into()],
        variables: Vec::new(),
    };
    HttpProvider::new(HttpConfig {
        networks: vec!["127.0.0.0/8".parse().expect("a network")],
        ca_file: None,
        resolver: Arc::new(NoNames),
        secrets: Secrets::new(BTreeMap::from([(site::SECRET_NAME.to_owned(), spec)])),
    })
}

suite!(fs, FsProvider::new);
suite!(http, http);
suite!(shell, || ShellProvider::new(ShellConfig {
    may_lack: layers_missing().clone(),
    ..ShellConfig::from_host()
}));
