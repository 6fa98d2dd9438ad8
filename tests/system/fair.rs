//! Many processes at one endpoint that takes only so much: all are served in turn, nobody asks
//! before the endpoint wants to be asked, and what was spent is what was billed.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use agent_libos::llm::limits::EXCHANGES_MAX;
use serde_json::{Value, json};
use support::{
    Lab, Live,
    model::{Answer, Asked, Model},
};

/// How long a run may take.
const LONG: Duration = Duration::from_secs(100);

/// What two clocks and a thread that is late may differ by.
const TOLERANCE: Duration = Duration::from_millis(500);

/// What the endpoint saw of a request, and what it said.
#[derive(Debug, Clone)]
struct Request {
    number: usize,
    of: usize,
    at: Instant,
    /// Until when it wants nothing, if it turned the request away.
    refused_until: Option<Instant>,
}

/// An endpoint that answers so many in a row and then wants nothing for a while.
struct Limiter {
    row: usize,
    /// Answers since it wanted nothing last.
    answered: usize,
    wants_nothing_until: Option<Instant>,
    seen: Vec<Request>,
    /// Tokens and money of what was answered.
    billed: (u64, u64),
}

impl Limiter {
    fn new(row: usize) -> Arc<Mutex<Self>> {
        let (seen, billed) = (Vec::new(), (0, 0));
        Arc::new(Mutex::new(Self { row, answered: 0, wants_nothing_until: None, seen, billed }))
    }

    /// Answers, or says for how long it wants nothing: in seconds and as a date in turns.
    fn take(&mut self, number: usize, asked: &Asked, answer: Answer) -> Answer {
        let now = Instant::now();
        if self.wants_nothing_until.is_some_and(|until| until <= now) {
            (self.wants_nothing_until, self.answered) = (None, 0);
        }
        let (of, at) = (worker(asked), now);
        if self.wants_nothing_until.is_none() && self.answered < self.row {
            self.answered += 1;
            self.bill(asked);
            self.seen.push(Request { number, of, at, refused_until: None });
            return answer;
        }
        let until = *self.wants_nothing_until.get_or_insert(now + Duration::from_secs(1));
        let (head, told) = match self.seen.len() % 2 {
            0 => in_seconds(until - now),
            _ => as_date(until - now),
        };
        self.seen.push(Request { number, of, at, refused_until: Some(now + told) });
        let busy = r#"{"error":{"code":"rate_limit_exceeded"}}"#;
        Answer::Status(429, head.into(), busy.into())
    }

    fn bill(&mut self, asked: &Asked) {
        let (tokens, money) = price(asked);
        self.billed = (self.billed.0 + tokens, self.billed.1 + money);
    }
}

/// What the endpoint of the tests takes for an answer, at the prices of [`lab`].
fn price(asked: &Asked) -> (u64, u64) {
    let input = asked.text().len() as u64 / 4;
    (input + 7, input + 14)
}

fn in_seconds(wait: Duration) -> (String, Duration) {
    let seconds = wait.as_millis().div_ceil(1_000) as u64;
    (format!("retry-after: {seconds}\r\n"), Duration::from_secs(seconds))
}

/// As a date, which has whole seconds, by a clock that is some days behind.
fn as_date(wait: Duration) -> (String, Duration) {
    let behind = Duration::from_secs(3 * 86_400);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - behind;
    let until = (now + wait).as_secs() + 1;
    let head = format!("date: {}\r\nretry-after: {}\r\n", date(now.as_secs()), date(until));
    (head, Duration::from_secs(until) - now)
}

/// A time as HTTP writes it.
fn date(seconds: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let day = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][days as usize % 7];
    // Days since the first of March of the year 0.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + u64::from(month >= 10);
    let month = MONTHS[(month as usize + 2) % 12];
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{day}, {of_month:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Which worker asks: its goal says so.
fn worker(asked: &Asked) -> usize {
    let text = asked.text();
    let (_, from) = text.split_once("worker ").expect("a goal names its worker");
    from.split('.').next().unwrap().parse().expect("a number")
}

/// A task whose process makes so many others, each with a model, and waits for all of them.
fn lab(model: &Model, workers: usize, more: &str) -> Lab {
    let lab = Lab::new();
    lab.settings(&format!(
        "[llm.test]\nkind = \"openai\"\nbase_url = \"{}\"\nmodel = \"m\"\n\
         prices = {{ input = 1000000, output = 2000000 }}\n",
        model.base_url(),
    ));
    let planner = json!({ "kind": "model", "program": "{\"profile\":\"test\"}" });
    let grants = json!([{ "on": "llm:test", "rights": ["execute"] }]);
    let spawn = |number: usize| {
        let goal = format!("worker {number}.");
        let args = json!({ "goal": goal, "planner": planner, "grants": grants, "image": "coding" });
        support::save("process.spawn", args, &format!("w{number}"))
    };
    let wait = |number: usize| support::wait(&format!("w{number}"));
    let plan: Vec<Value> = (0..workers).map(spawn).chain((0..workers).map(wait)).collect();
    let may = [
        support::allow("write", "process:spawn"),
        support::grant("allow", "execute", "llm:test", "delegable = 1"),
        support::allow("read", "image:coding"),
    ];
    lab.task(&[&may.concat(), more].concat(), &plan);
    lab
}

fn usage(lab: &Lab, pid: &str) -> (u64, u64) {
    let usage = lab.value(&["inspect", pid])["process"]["usage"].clone();
    (usage["tokens"].as_u64().unwrap(), usage["cost"].as_u64().unwrap())
}

/// What each process below the first one has used, by its id.
fn usages(lab: &Lab) -> BTreeMap<String, (u64, u64)> {
    let all = lab.json(&["ps"]).code(0).lines();
    let workers = all.into_iter().filter(|process| process["pid"] != "p1");
    let of = |process: Value| {
        let used = |kind: &str| process["usage"][kind].as_u64().unwrap();
        (process["pid"].as_str().unwrap().to_owned(), (used("tokens"), used("cost")))
    };
    workers.map(of).collect()
}

/// How many processes have tokens and money set aside for an answer that has not come.
fn have_asked(lab: &Lab) -> usize {
    let output = u64::from(agent_libos::abi::llm::OUTPUT_TOKENS_DEFAULT);
    let has = |used: &(u64, u64)| used.0 > output && used.1 > 2 * output;
    usages(lab).into_values().filter(has).count()
}

fn sum(all: impl IntoIterator<Item = (u64, u64)>) -> (u64, u64) {
    all.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Waits until something is so, as long as the binary runs.
fn until(live: &mut Live, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline && !live.has_ended(), "{what} did not come");
        thread::sleep(Duration::from_millis(20));
    }
}

/// An answer that calls a tool, until it is the last turn.
fn turn(asked: &Asked, turns: usize) -> Answer {
    match asked.turn() + 1 < turns {
        true => Answer::Say(String::new(), vec![("list_folder", json!({ "path": "." }))]),
        false => Answer::Say("done".into(), vec![]),
    }
}

/// Nothing arrives while the endpoint wants nothing, but what was on its way.
fn check_patience(model: &Model, seen: &[Request]) {
    let known: BTreeMap<usize, Instant> = model.refused().into_iter().collect();
    for refused in seen {
        let Some(until) = refused.refused_until else { continue };
        let Some(known) = known.get(&refused.number) else { continue };
        let early = seen.iter().find(|other| {
            other.at > *known + TOLERANCE && other.at + Duration::from_millis(20) < until
        });
        assert!(early.is_none(), "{refused:?}, known at {known:?}: {early:?}");
    }
}

/// Nobody is served again while others wait: what is under way may overtake.
fn check_turns(seen: &[Request], workers: usize, turns: usize) {
    let served = seen.iter().filter(|request| request.refused_until.is_none());
    let mut times = vec![0; workers];
    for (at, request) in served.enumerate() {
        times[request.of] += 1;
        let least = times.iter().min().unwrap();
        let expected = at.saturating_sub(2 * EXCHANGES_MAX as usize) / workers;
        assert!(*least >= expected, "after {at}, somebody was served {least} times only");
    }
    assert!(times.iter().all(|times| *times == turns), "{times:?}");
}

#[test]
fn two_hundred_processes_share_an_endpoint_that_takes_only_so_much() {
    const WORKERS: usize = 200;
    const TURNS: usize = 3;
    let limiter = Limiter::new(120);
    let goes = Arc::new(AtomicBool::new(false));
    let model = Model::serve({
        let (limiter, goes) = (Arc::clone(&limiter), Arc::clone(&goes));
        Box::new(move |number, asked| {
            // Nobody is answered before everybody has asked.
            while !goes.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            limiter.lock().unwrap().take(number, asked, turn(asked, TURNS))
        })
    });
    let lab = lab(&model, WORKERS, "[budget]\ntokens = 1000000000\ncost = 1000000000\n");
    let mut live = lab.start(&["--json", "run", "task.toml"]);
    until(&mut live, "a store", || lab.path("store/control.sock").exists());
    until(&mut live, "what is set aside for all of them", || have_asked(&lab) == WORKERS);
    goes.store(true, Ordering::SeqCst);
    let ran = live.finish_within(LONG).code(0);
    assert_eq!(ran.last()["status"], "exited");

    let limiter = limiter.lock().unwrap();
    let seen = &limiter.seen;
    let refused = seen.iter().filter(|request| request.refused_until.is_some()).count();
    assert!(refused >= 4, "it was too much at times: {refused}");
    check_patience(&model, seen);
    check_turns(seen, WORKERS, TURNS);
    let used = usages(&lab);
    assert_eq!(used.len(), WORKERS);
    assert_eq!(sum(used.into_values()), limiter.billed, "nothing is left set aside");
    assert_eq!(usage(&lab, "p1"), limiter.billed, "of the tree");
}

#[test]
fn an_endpoint_that_breaks_off_and_talks_nonsense_costs_nobody_else_anything() {
    const WORKERS: usize = 24;
    /// These never get an answer that is one.
    const NONSENSE: [usize; 3] = [3, 11, 19];
    let limiter = Limiter::new(10);
    let dropped = Mutex::new(BTreeSet::new());
    let model = Model::serve({
        let limiter = Arc::clone(&limiter);
        Box::new(move |number, asked| {
            let of = worker(asked);
            if NONSENSE.contains(&of) {
                return Answer::Stream("data: {\"choices\": 7\n\n".into());
            }
            if of % 5 == 1 && dropped.lock().unwrap().insert((of, asked.turn())) {
                return match asked.turn() {
                    0 => Answer::Never,
                    _ => Answer::Cut("the first half".into(), vec![]),
                };
            }
            limiter.lock().unwrap().take(number, asked, turn(asked, 2))
        })
    });
    let lab = lab(&model, WORKERS, "");
    lab.run().code(0);
    let limiter = limiter.lock().unwrap();
    check_patience(&model, &limiter.seen);
    let all = lab.json(&["ps"]).code(0).lines();
    let endings =
        |code: &str| all.iter().filter(|process| process["ending"]["code"] == code).count();
    assert_eq!(endings("unusable_answers"), NONSENSE.len(), "{all:?}");
    assert_eq!(all.iter().filter(|it| it["state"] == "exited").count(), WORKERS + 1 - 3);
    let nonsense: BTreeSet<String> = NONSENSE.iter().map(|of| format!("p{}", of + 2)).collect();
    let (lost, used): (BTreeMap<_, _>, BTreeMap<_, _>) =
        usages(&lab).into_iter().partition(|(pid, _)| nonsense.contains(pid));
    assert_eq!(sum(used.into_values()), limiter.billed, "{lost:?}");
    // Nobody can tell what nonsense cost, three times each: all that was set aside is counted.
    let counted = |(tokens, cost): &(u64, u64)| *tokens > 3 * 4_096 && *cost > 3 * 8_192;
    assert!(lost.values().all(counted), "{lost:?}");
    assert_eq!(usage(&lab, "p1"), sum([limiter.billed, sum(lost.into_values())]));
}

#[test]
fn who_ends_while_it_waits_for_its_turn_leaves_nothing_behind() {
    const WORKERS: usize = EXCHANGES_MAX as usize + 2;
    let (begun, goes) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
    let model = Model::serve({
        let (begun, goes) = (Arc::clone(&begun), Arc::clone(&goes));
        Box::new(move |_, asked| {
            begun.lock().unwrap().insert(format!("p{}", worker(asked) + 2));
            while !goes.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            turn(asked, 1)
        })
    });
    let lab = lab(&model, WORKERS, "");
    let mut live = lab.start(&["--json", "run", "task.toml"]);
    until(&mut live, "as many requests as may be", || {
        begun.lock().unwrap().len() == EXCHANGES_MAX as usize
    });
    until(&mut live, "what is set aside for all", || have_asked(&lab) == WORKERS);
    let workers = (2..2 + WORKERS).map(|pid| format!("p{pid}"));
    let mut waiting = workers.filter(|pid| !begun.lock().unwrap().contains(pid));
    let killed = waiting.next().expect("two wait for their turn");
    lab.json(&["signal", &killed, "terminate"]).code(0);
    assert_eq!(usages(&lab)[&killed], (0, 0), "what was set aside is given back at once");
    goes.store(true, Ordering::SeqCst);
    live.finish_within(LONG).code(0);
    let used = usages(&lab);
    assert_eq!(used[&killed], (0, 0), "{used:?}");
    assert!(lab.inbox().is_empty(), "nobody is asked what became of it");
    let begun = begun.lock().unwrap();
    assert!(begun.len() == WORKERS - 1 && !begun.contains(&killed), "it never asked: {begun:?}");
    assert_eq!(usage(&lab, "p1"), sum(used.into_values()));
}
