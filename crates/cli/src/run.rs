//! `libos run` and `libos resume`: launch, watch, answer, and say how it ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal, Write},
};

use agent_libos::{
    Builder, HostPort, News, Runtime, Watch,
    abi::{
        EffectClass, Error, Outcome, Pid, Reply, Request as _, RequestId, Syscall,
        human::{self, Ask, Decision, Request},
        image, llm, message,
        process::{self, Ending, Launch, ProcessInfo, ProcessState},
        tool,
    },
    approvals::Approvals,
    broker::Notice,
    control,
    package::Built,
    port::Port,
    task,
};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    args::{AnswerArgs, ChatArgs, RunArgs},
    card::card,
    exit::{Exit, Failure},
    goal,
    host::Host,
    inbox::ways,
    prompt::{self, Said},
    show, skill,
    speech::Speech,
};

pub(crate) async fn run(host: &Host, args: &RunArgs) -> Result<Exit, Failure> {
    let (mut loaded, skills) = match (&args.task, &args.goal.goal) {
        (Some(task), _) if !task.exists() => {
            let message = format!("there is no {}; `libos init` writes a task", task.display());
            return Err(Failure::new(Exit::Usage, "invalid_file", message));
        }
        (Some(task), _) => (task::load(task)?, Vec::new()),
        (None, goal) => goal::loaded(host, goal.as_deref().unwrap_or_default(), &args.goal)?,
    };
    let image = match loaded.image {
        None => None,
        Some(built) => Some(crate::image::checked(host, built).await?),
    };
    let approvals = load_approvals(host, &args.answers)?;
    let (runtime, watch) = start(host, &args.answers, |builder| builder)?;
    let port = runtime.host_port(&host.operator);
    let operator: &dyn Port = &port;
    if let Some(Built { image, skills, .. }) = image {
        skill::of_image(operator, skills, true).await?;
        operator.call(image::Register { image, replace: Some(true) }).await?;
    }
    skill::provide(operator, skills).await?;
    crate::image::prepare(operator, &mut loaded.launch).await?;
    let made = operator.call(loaded.launch).await?;
    let roots = BTreeSet::from([made.pid]);
    Driver::new(host, port, approvals, args.answers.wait, roots).drive(runtime, watch).await
}

/// Runs a task that no file describes.
pub(crate) async fn launched(
    host: &Host,
    launch: Launch,
    answers: &AnswerArgs,
) -> Result<Exit, Failure> {
    let approvals = load_approvals(host, answers)?;
    let (runtime, watch) = start(host, answers, |builder| builder)?;
    let port = runtime.host_port(&host.operator);
    let operator: &dyn Port = &port;
    let made = operator.call(launch).await?;
    let roots = BTreeSet::from([made.pid]);
    Driver::new(host, port, approvals, answers.wait, roots).drive(runtime, watch).await
}

pub(crate) async fn resume(host: &Host, args: &AnswerArgs) -> Result<Exit, Failure> {
    go_on(host, args, None).await
}

/// Goes on, and hands what is typed to a process.
pub(crate) async fn chat(host: &Host, args: &ChatArgs) -> Result<Exit, Failure> {
    go_on(host, &args.answers, Some(args.pid)).await
}

/// Goes on with what has not ended; `talk` is to whom, if the operator talks to anybody.
async fn go_on(host: &Host, args: &AnswerArgs, talk: Option<Option<Pid>>) -> Result<Exit, Failure> {
    host.must_exist()?;
    let approvals = load_approvals(host, args)?;
    // What is there is looked at before anything runs: all that comes then is news.
    let (runtime, watch) = start(host, args, Builder::host_calls_only)?;
    let port = runtime.host_port(&host.operator);
    let operator: &dyn Port = &port;
    let processes = agent_libos::processes(operator, false).await?;
    let roots: BTreeSet<Pid> = processes
        .iter()
        .filter(|process| process.parent.is_none() && !process.state.is_terminal())
        .map(|process| process.pid)
        .collect();
    // Requests of before are no news: they are put to the operator now.
    let pending = operator.call(human::List { all: None }).await?.requests;
    let mut driver = Driver::new(host, port, approvals, args.wait, roots);
    if let Some(named) = talk {
        driver.talk_to(partner(&processes, named)?);
    }
    driver.last_ended = processes
        .into_iter()
        .filter(|process| process.parent.is_none())
        .filter_map(|process| Some((process.pid, process.ending?)))
        .next_back();
    for request in pending {
        driver.asked(request.id).await?;
    }
    runtime.run_processes();
    driver.drive(runtime, watch).await
}

/// The process to talk to: the one that is named, or else the one task that goes on.
fn partner(processes: &[ProcessInfo], named: Option<Pid>) -> Result<Pid, Failure> {
    let lives = |process: &&ProcessInfo| !process.state.is_terminal();
    let is_meant = |process: &&ProcessInfo| match named {
        Some(pid) => process.pid == pid,
        None => process.parent.is_none(),
    };
    let living: Vec<Pid> =
        processes.iter().filter(lives).filter(is_meant).map(|process| process.pid).collect();
    let message = match (living[..].split_first(), named) {
        (Some((pid, [])), _) => return Ok(*pid),
        (None, Some(pid)) => format!("no {pid} lives; `libos ps` lists the processes"),
        (None, None) => "no task goes on; `libos run` begins one".to_owned(),
        (Some(_), _) => {
            let names: Vec<String> = living.iter().map(ToString::to_string).collect();
            format!("several tasks go on: name one of {}", names.join(", "))
        }
    };
    Err(Failure::new(Exit::Usage, "no_partner", message))
}

fn load_approvals(host: &Host, args: &AnswerArgs) -> Result<Approvals, Failure> {
    Ok(host.approvals(args).map(Approvals::load).transpose()?.unwrap_or_default())
}

/// Starts a runtime whose processes cannot reach what answers for their human.
fn start(
    host: &Host,
    args: &AnswerArgs,
    how: fn(Builder) -> Builder,
) -> Result<(Runtime, Watch), Failure> {
    let _progress = host.progress("reading the store");
    let builder = host.approvals(args).into_iter().fold(host.builder(), Builder::keep_out_of);
    let builder = args
        .mounts
        .iter()
        .fold(builder, |builder, mount| builder.mount(&mount.name, mount.folder.0.clone()));
    Ok(how(builder).start_watched()?)
}

/// A step as `--json` prints it.
#[derive(Serialize)]
struct StepLine {
    pid: Pid,
    step: u32,
    call: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct ErrorLine {
    code: &'static str,
    message: String,
}

impl ErrorLine {
    fn of(error: &Error) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

#[derive(Serialize)]
struct RequestLine<'a> {
    request: &'a Request,
}

/// The last line.
#[derive(Serialize)]
struct DoneLine {
    done: bool,
    pid: Option<Pid>,
    status: &'static str,
    exit: u8,
}

/// Watches a runtime until its tasks have ended or nothing can go on without a human.
pub(crate) struct Driver<'a> {
    host: &'a Host,
    port: HostPort,
    approvals: Approvals,
    wait: bool,
    /// Whether a person at this terminal can be asked.
    inline: bool,
    open: BTreeSet<Pid>,
    last_ended: Option<(Pid, Ending)>,
    asked: BTreeMap<RequestId, Request>,
    /// Lines a person types, once somebody was asked.
    typed: Option<mpsc::UnboundedReceiver<String>>,
    prompted: Option<RequestId>,
    /// Who gets what is typed and answers nothing.
    partner: Option<Pid>,
    speech: Speech,
    /// Whether a model plans for a process, as far as it was looked at.
    thinking: BTreeMap<Pid, bool>,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(
        host: &'a Host,
        port: HostPort,
        approvals: Approvals,
        wait: bool,
        open: BTreeSet<Pid>,
    ) -> Self {
        let inline = !host.json && io::stdin().is_terminal() && io::stderr().is_terminal();
        Self {
            host,
            port,
            approvals,
            wait,
            inline,
            open,
            last_ended: None,
            asked: BTreeMap::new(),
            typed: None,
            prompted: None,
            partner: None,
            speech: Speech::new(host.json),
            thinking: BTreeMap::new(),
        }
    }

    /// Has what is typed go to a process from now on.
    fn talk_to(&mut self, pid: Pid) {
        if !self.host.json {
            tell!("Each line you type is a message to {pid}; /help tells what else you can type.");
        }
        self.partner = Some(pid);
        self.inline = !self.host.json;
        self.typed = Some(prompt::read_lines());
    }

    pub(crate) async fn drive(
        mut self,
        runtime: Runtime,
        mut watch: Watch,
    ) -> Result<Exit, Failure> {
        let control = control::serve(&self.host.store, self.port.clone())?;
        let exit = self.watch(&mut watch).await;
        drop(control);
        drop(self.port);
        runtime.shutdown()?;
        exit
    }

    async fn watch(&mut self, watch: &mut Watch) -> Result<Exit, Failure> {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        loop {
            if self.open.is_empty() {
                return Ok(self.ended());
            }
            tokio::select! {
                news = watch.next() => match news {
                    Some(News::Notice(notice)) => self.notice(notice).await?,
                    Some(News::Idle) => {
                        if let Some(exit) = self.idle(watch).await? {
                            return Ok(exit);
                        }
                    }
                    Some(News::Progress { pid, op, progress }) => {
                        self.speech.hear(pid, op, &progress);
                    }
                    Some(News::StoreUnavailable(what)) => self.store(Some(&what)),
                    Some(News::StoreAvailable) => self.store(None),
                    Some(News::StoreFailed(what)) => {
                        return Err(Failure::new(Exit::Store, "store", what));
                    }
                    None => {
                        let message = "the runtime has stopped";
                        return Err(Failure::new(Exit::Store, "store", message));
                    }
                },
                line = prompt::next_line(&mut self.typed) => {
                    self.speech.end_line();
                    if let Some(exit) = self.typed(line.as_deref(), watch).await? {
                        return Ok(exit);
                    }
                }
                _ = tokio::signal::ctrl_c() => return Ok(self.interrupted()),
                _ = terminate.recv() => return Ok(self.interrupted()),
            }
        }
    }

    /// Says that the store refuses, and why, or that it takes records again.
    fn store(&mut self, refusal: Option<&str>) {
        self.speech.end_line();
        if self.host.json {
            show::json(&serde_json::json!({ "store_unavailable": refusal }));
        } else if refusal.is_none() {
            // That it refuses was in the log already, whatever had to wait for it.
            tell!("libos: the store takes records again.");
        }
    }

    fn interrupted(&mut self) -> Exit {
        self.speech.end_line();
        if !self.host.json {
            tell!("Stopped. Nothing is lost: go on with `libos resume`.");
        }
        Exit::Failed
    }

    async fn notice(&mut self, notice: Notice) -> Result<(), Failure> {
        self.speech.end_line();
        match notice {
            Notice::Step { pid, step, op, call, outcome } => {
                self.speech.over(op);
                if self.host.json || !self.is_thought(pid, &call, &outcome).await {
                    self.step(pid, step, &call, &outcome);
                }
            }
            Notice::Spawned { pid, parent, goal } => {
                if !self.host.json {
                    let from = parent.map(|parent| format!(" (child of {parent})"));
                    let goal = show::cut(goal.as_str().unwrap_or_default(), 80);
                    say!("{pid}{}: {goal}", from.unwrap_or_default());
                }
            }
            Notice::Asked(request) => self.asked(request).await?,
            Notice::Output { pid, message } => {
                if !self.host.json {
                    let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
                    let message = message.as_str().unwrap_or_default().replace('\n', "\n    ");
                    say!("{pid} says: {message}");
                }
            }
            Notice::Ended { pid, ending } => {
                if !self.host.json {
                    let said =
                        ending.message.as_deref().map(|said| format!(": {}", show::cut(said, 300)));
                    say!("{pid} {}{}", show::state(ending.state), said.unwrap_or_default());
                }
                if self.open.remove(&pid) {
                    self.last_ended = Some((pid, ending));
                }
            }
        }
        Ok(())
    }

    /// Whether a call is part of how a process with a model thinks: it tells a person nothing. The
    /// words of the model are told in its place.
    async fn is_thought(&mut self, pid: Pid, call: &Syscall, outcome: &Outcome) -> bool {
        let info = call.info();
        let is_fine = outcome.as_ref().err().is_none_or(|error| error.code() == "timed_out");
        let is_own = info.effect == EffectClass::State && info.name != tool::CallTool::INFO.name;
        let said = match outcome {
            Ok(Reply::Llm(llm::Reply::Complete(answer))) => Some(answer.said()),
            _ => None,
        };
        if !is_fine || !(is_own || said.is_some()) || !self.is_model(pid).await {
            return false;
        }
        if let Some(Ok(message)) = said {
            self.speech.said(pid, &message.said());
        }
        true
    }

    async fn is_model(&mut self, pid: Pid) -> bool {
        if let Some(known) = self.thinking.get(&pid) {
            return *known;
        }
        let info = (&self.port as &dyn Port).call(process::Inspect { pid }).await;
        let is_model = info.is_ok_and(|info| info.planner == "model");
        self.thinking.insert(pid, is_model);
        is_model
    }

    fn step(&self, pid: Pid, step: u32, call: &Syscall, outcome: &Outcome) {
        if self.host.json {
            let line = StepLine {
                pid,
                step,
                call: call.info().name,
                outcome: show::outcome_word(outcome),
                error: outcome.as_ref().err().map(ErrorLine::of),
                reply: outcome.as_ref().ok().map(|reply| reply.json().unwrap_or_default()),
            };
            show::json(&line);
        } else {
            say!("{:<5}{step:>3} {}", pid.to_string(), show::step(call, outcome));
        }
    }

    /// Answers a request by the rules, or puts it to whoever is here.
    async fn asked(&mut self, id: RequestId) -> Result<(), Failure> {
        let port: &dyn Port = &self.port;
        let requests = port.call(human::List { all: None }).await?.requests;
        let Some(request) = requests.iter().find(|request| request.id == id) else {
            return Ok(());
        };
        let record = match request.ask {
            Ask::Extension { .. } => port.call(human::List { all: Some(true) }).await?.requests,
            _ => Vec::new(),
        };
        if let Some(decision) = self.approvals.answer(request, &record) {
            return self.decide(id, decision).await;
        }
        if self.host.json {
            show::json(&RequestLine { request });
        } else {
            tell!("{}", card(port, request).await);
        }
        self.asked.insert(id, request.clone());
        self.prompt();
        Ok(())
    }

    async fn decide(&mut self, request: RequestId, decision: Decision) -> Result<(), Failure> {
        let port: &dyn Port = &self.port;
        match port.call(human::Decide { request, decision }).await {
            Ok(_) => Ok(()),
            // Somebody else was faster, or the process ended: their word counts.
            Err(error) if error.code() == "already_decided" => {
                tell!("libos: {error}");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the person at the terminal about the oldest request.
    fn prompt(&mut self) {
        if !self.inline || self.prompted.is_some() {
            return;
        }
        let Some((id, request)) = self.asked.first_key_value() else {
            return;
        };
        eprint!("{id}: {}? ", prompt::choices(&request.ask));
        if let Err(error) = io::stderr().flush() {
            tell!("libos: {error}");
        }
        self.prompted = Some(*id);
        self.typed.get_or_insert_with(prompt::read_lines);
    }

    /// Takes a line, or that there are no more.
    async fn typed(&mut self, line: Option<&str>, watch: &Watch) -> Result<Option<Exit>, Failure> {
        let Some(line) = line else {
            (self.typed, self.inline, self.prompted) = (None, false, None);
            return self.idle(watch).await;
        };
        let said = prompt::said(line);
        let answers = self.partner.is_none() || !said.is_command();
        let Some(id) = self.prompted.take_if(|_| answers) else {
            return self.said(said).await;
        };
        let Some(request) = self.asked.get(&id) else {
            self.prompt();
            return Ok(None);
        };
        match prompt::typed(&request.ask, line.trim()) {
            Some(decision) => {
                self.asked.remove(&id);
                self.decide(id, decision).await?;
            }
            None => tell!("That is no answer to it."),
        }
        self.prompt();
        Ok(None)
    }

    /// Takes a line that answers nothing.
    async fn said(&mut self, said: Said<'_>) -> Result<Option<Exit>, Failure> {
        let Some(to) = self.partner else { return Ok(None) };
        let (body, kind) = match said {
            Said::Nothing => return Ok(None),
            Said::Quit => return Ok(Some(self.interrupted())),
            Said::Help => {
                tell!("/interrupt TEXT, /quit, /help; anything else is a message to {to}");
                return Ok(None);
            }
            Said::Unknown(word) => {
                tell!("There is no {word}; /help lists what there is.");
                return Ok(None);
            }
            Said::Message(text) => (text, None),
            Said::Interrupt(text) => (text, Some(message::MessageKind::Interrupt)),
        };
        let port: &dyn Port = &self.port;
        let letter = message::Send { kind, ..message::Send::letter(to, body) };
        match port.call(letter).await {
            Ok(sent) if self.host.json => show::json(&sent),
            Ok(_) => {}
            Err(error) => tell!("libos: {error}"),
        }
        Ok(None)
    }

    /// Nothing can happen by itself any more: either a human is to answer, or nothing ever will.
    async fn idle(&mut self, watch: &Watch) -> Result<Option<Exit>, Failure> {
        let port: &dyn Port = &self.port;
        // In this order: what a process waits for is then in the list of what is pending.
        let waiting = agent_libos::processes(port, true).await?;
        let pending = port.call(human::List { all: None }).await?.requests;
        // What led to that is told first.
        if !watch.is_up_to_date(&self.port).await.map_err(Error::from)? {
            return Ok(None);
        }
        let waiting: Vec<&ProcessInfo> =
            waiting.iter().filter(|process| !process.state.is_terminal()).collect();
        self.asked.retain(|id, _| pending.iter().any(|request| request.id == *id));
        if self.prompted.is_some_and(|id| !self.asked.contains_key(&id)) {
            tell!("(answered elsewhere)");
            self.prompted = None;
        }
        // News may be older than what has happened since: a request that is still on its way to
        // us may fit a rule, and a process that runs again may end.
        let unseen = pending.iter().any(|request| !self.asked.contains_key(&request.id));
        let stale = unseen
            || waiting.iter().any(|process| {
                matches!(process.state, ProcessState::Runnable | ProcessState::Running)
                    || process.wait.as_ref().is_some_and(|wait| wait.until_ms.is_some())
            });
        let is_attended = match self.partner {
            Some(_) => self.typed.is_some(),
            None => self.inline && !pending.is_empty(),
        };
        if waiting.is_empty() || stale || self.wait || is_attended {
            self.prompt();
            return Ok(None);
        }
        let pid = self.open.first().copied().unwrap_or_default();
        if self.host.json {
            let exit = Exit::Waiting as u8;
            show::json(&DoneLine { done: false, pid: Some(pid), status: "waiting", exit });
        } else if pending.is_empty() {
            for ProcessInfo { pid, wait, .. } in waiting {
                match wait.as_ref().map(crate::process::waits_for) {
                    Some(wait) => tell!("{pid} waits for {wait}"),
                    None => tell!("{pid} is held: `libos signal {pid} resume` lets it go on"),
                }
            }
            tell!("Nothing here can happen by itself. It stays resumable: `libos resume`.");
        } else {
            let ids: Vec<String> = pending.iter().map(|request| request.id.to_string()).collect();
            let ways: Vec<String> = pending.iter().map(|it| format!("`{}`", ways(it))).collect();
            tell!(
                "Waiting for you: {}. See `libos inbox`, answer with {}, then `libos resume`.",
                ids.join(", "),
                ways.join(", ")
            );
        }
        Ok(Some(Exit::Waiting))
    }

    /// Every task has ended: says how the last one did.
    fn ended(&self) -> Exit {
        let Some((pid, ending)) = &self.last_ended else {
            if self.host.json {
                show::json(&DoneLine { done: true, pid: None, status: "idle", exit: 0 });
            } else {
                say!("Nothing is left to go on with.");
            }
            return Exit::Done;
        };
        let exit = match (ending.state, ending.code.as_deref()) {
            (ProcessState::Exited, _) => Exit::Done,
            (_, Some("denied")) => Exit::Denied,
            _ => Exit::Failed,
        };
        let status = show::state(ending.state);
        if self.host.json {
            let (pid, exit) = (Some(*pid), exit as u8);
            show::json(&DoneLine { done: true, pid, status, exit });
        } else {
            say!("Done: {pid} {status}. `libos audit ls` tells who allowed what.");
        }
        exit
    }
}
