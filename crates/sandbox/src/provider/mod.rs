//! The provider of generated tools: runs them for a process, and validates them.
//!
//! Every order brings its tool. A call of it runs in a fresh instance whose port is the one of the
//! order: whatever it does is a system call of that operation, decided by the kernel. Validation
//! runs the tests of the tool against the answers that they script, and makes no call at all.

mod schema;
mod scripted;
mod source;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use libos_abi::{
    Digest, Error, Fault, Json, OpId, Syscall,
    tool::{
        self, Definition, FailureKind, Program, TestResult, ToolLimits, ToolProblem, ToolReport,
        ToolResult, ToolTest,
    },
    wire,
};
use libos_port::{BoxFuture, EffectOutcome, Order, Port, Provider};
use tokio::sync::OnceCell;

use self::{
    schema::Schema,
    scripted::Scripted,
    source::{language, source},
};
use crate::{Artifact, CompileError, Limits, Report, Run, RunLimits, Sandbox, ToolError, WhenFull};

/// How many compiled tools are kept at hand; the rest is in the cache folder.
const ARTIFACTS_MAX: usize = 256;
/// The most bytes of a text in a report: people and models read it.
const REPORT_TEXT_BYTES_MAX: usize = 1024;

/// The provider of generated tools. Its sandbox is set up when the first tool comes.
#[derive(Clone)]
pub struct GeneratedTools(Arc<Inner>);

struct Inner {
    limits: Limits,
    cache: PathBuf,
    sandbox: OnceCell<Sandbox>,
    artifacts: Mutex<HashMap<Digest, Artifact>>,
}

impl GeneratedTools {
    /// A provider that keeps compiled code in a folder.
    #[must_use]
    pub fn new(limits: Limits, cache: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            limits,
            cache: cache.into(),
            sandbox: OnceCell::new(),
            artifacts: Mutex::default(),
        }))
    }

    async fn sandbox(&self, op: OpId) -> Result<&Sandbox, Fault> {
        let set_up = async || Sandbox::new(self.0.limits, &self.0.cache);
        self.0.sandbox.get_or_try_init(set_up).await.map_err(|error| {
            tracing::error!(%op, %error, "the sandbox of generated tools cannot be set up");
            failed(op)
        })
    }

    /// The tool, compiled.
    async fn artifact(
        &self,
        sandbox: &Sandbox,
        tool: &Definition,
    ) -> Result<Artifact, CompileError> {
        let source = source(tool)?;
        let language = language(tool.language);
        let key = Digest::of(&wire::encode(&(language.name(), Digest::of(&source))));
        if let Some(artifact) = self.artifacts().get(&key) {
            return Ok(artifact.clone());
        }
        let artifact = sandbox.compile(language, &source).await?;
        let mut artifacts = self.artifacts();
        if artifacts.len() >= ARTIFACTS_MAX {
            artifacts.clear();
        }
        artifacts.insert(key, artifact.clone());
        Ok(artifact)
    }

    fn artifacts(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Artifact>> {
        self.0.artifacts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a tool for the process that called it.
    async fn call(&self, order: &Order, program: &Program, args: &Json) -> Result<Json, Error> {
        let tool = &program.tool;
        let sandbox = self.sandbox(order.op).await?;
        let artifact = self.artifact(sandbox, tool).await.map_err(|error| {
            FailureKind::ToolFailed.because(format!("it does not compile: {error}"))
        })?;
        let value =
            args.value().map_err(|error| FailureKind::BadArguments.because(error.to_string()))?;
        let bad_schema = |flaw| FailureKind::ToolFailed.because(flaw);
        let input = Schema::new("input", &tool.input).map_err(bad_schema)?;
        input.check(&value).map_err(|flaw| FailureKind::BadArguments.because(flaw))?;
        let run = run(tool, value.to_string(), Arc::clone(&order.port), seed(order));
        let report = sandbox.run(&artifact, run).await;
        for line in &report.logs {
            tracing::debug!(op = %order.op, tool = tool.name, line = cut(line), "a tool printed");
        }
        let result = report.outcome.map_err(|error| told(error, order.op))?;
        if let Some(output) = &tool.output {
            let output = Schema::new("output", output).map_err(bad_schema)?;
            output.check(&result).map_err(|flaw| {
                FailureKind::ToolFailed.because(format!("its result does not fit: {flaw}"))
            })?;
        }
        Ok(Json::from(&result))
    }

    /// Finds out whether a tool compiles, its schemas hold and its tests pass.
    async fn validate(&self, op: OpId, program: &Program) -> Result<ToolReport, Error> {
        let tool = &program.tool;
        let report = |problem: Option<ToolProblem>, tests: Vec<TestResult>| ToolReport {
            name: tool.name.clone(),
            digest: program.digest,
            passed: problem.is_none() && tests.iter().all(|test| test.passed),
            problem,
            tests,
        };
        let (input, output) = match schemas(tool) {
            Ok(schemas) => schemas,
            Err(flaw) => return Ok(report(Some(problem("schema", &flaw)), Vec::new())),
        };
        let sandbox = self.sandbox(op).await?;
        let artifact = match self.artifact(sandbox, tool).await {
            Ok(artifact) => artifact,
            Err(error) => return Ok(report(Some(uncompiled(&error)), Vec::new())),
        };
        let undeclared = artifact.imports().into_iter().flatten().find(|call| {
            let mut needs = tool.needs.iter();
            !needs.any(|need| need.call == **call)
        });
        if let Some(call) = undeclared {
            let what = format!("it imports {call}, which it does not declare");
            return Ok(report(Some(problem("undeclared", &what)), Vec::new()));
        }
        let mut tests = Vec::new();
        for test in &tool.tests {
            let ended = self.test(&artifact, tool, test, (&input, output.as_ref())).await?;
            let message = ended.err().map(|what| cut(&what).to_owned());
            let name = test.name.clone();
            tests.push(TestResult { name, passed: message.is_none(), message });
        }
        Ok(report(None, tests))
    }

    /// Runs one test; the inner error says what the tool did instead of what it should.
    async fn test(
        &self,
        artifact: &Artifact,
        tool: &Definition,
        test: &ToolTest,
        (input, output): (&Schema, Option<&Schema>),
    ) -> Result<Result<(), String>, Error> {
        let Ok(args) = test.args.value() else {
            return Ok(Err("its arguments are no JSON".into()));
        };
        if let Err(flaw) = input.check(&args) {
            return Ok(Err(format!("its arguments do not fit the schema: {flaw}")));
        }
        let scripted = match Scripted::new(tool, test) {
            Ok(scripted) => Arc::new(scripted),
            Err(flaw) => return Ok(Err(flaw)),
        };
        let port = Arc::clone(&scripted);
        let sandbox = self.sandbox(OpId(0)).await?;
        let report = sandbox.run(artifact, run(tool, args.to_string(), port, 0)).await;
        Ok(scripted.judge().and_then(|()| judge(test, output, report)))
    }
}

impl Provider for GeneratedTools {
    fn serves(&self) -> &'static [&'static str] {
        &["tool"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let tools = self.clone();
        Box::pin(async move {
            let ended: Result<tool::Reply, Error> = match (&order.call, &order.program) {
                (Syscall::Tool(tool::Call::CallTool(call)), Some(program)) => {
                    let result = tools.call(&order, program, &call.args).await;
                    result.map(|result| tool::Reply::CallTool(ToolResult { result }))
                }
                (Syscall::Tool(tool::Call::Validate(_)), Some(program)) => {
                    tools.validate(order.op, program).await.map(tool::Reply::Validate)
                }
                (call, _) => {
                    let call = call.info().name.into();
                    return EffectOutcome::NotStarted(Fault::Unsupported { call }.into());
                }
            };
            match ended {
                Ok(reply) => EffectOutcome::Done(reply.into()),
                Err(error) => EffectOutcome::Failed(error),
            }
        })
    }
}

/// The schemas of a tool's arguments and result.
fn schemas(tool: &Definition) -> Result<(Schema, Option<Schema>), String> {
    let output = tool.output.as_ref().map(|output| Schema::new("output", output));
    Ok((Schema::new("input", &tool.input)?, output.transpose()?))
}

/// Whether a run came to what a test expects.
fn judge(test: &ToolTest, output: Option<&Schema>, report: Report) -> Result<(), String> {
    match (report.outcome, &test.result, &test.error) {
        (Ok(value), Some(expected), _) => {
            if let Some(flaw) = output.and_then(|output| output.check(&value).err()) {
                return Err(format!("its result does not fit the schema: {flaw}"));
            }
            let expected = expected.value().map_err(|error| error.to_string())?;
            match value == expected {
                true => Ok(()),
                false => Err(format!("it gave {value} instead of {expected}")),
            }
        }
        (Ok(value), None, code) => {
            let code = code.as_deref().unwrap_or("an error");
            Err(format!("it gave {value} instead of ending in {code}"))
        }
        (Err(error), None, Some(code)) if error.code() == code => Ok(()),
        (Err(error), ..) => Err(format!("it ended in {}: {}", error.code(), worded(&error))),
    }
}

fn run(tool: &Definition, args: String, port: Arc<dyn Port>, seed: u64) -> Run {
    Run {
        args,
        needs: tool.needs.iter().map(|need| need.call.as_str()).collect(),
        port,
        seed,
        limits: tool.limits.as_ref().map_or(RunLimits::STANDARD, limits),
        when_full: WhenFull::Wait,
    }
}

fn limits(limits: &ToolLimits) -> RunLimits {
    let standard = RunLimits::STANDARD;
    let ToolLimits { fuel, compute, memory_bytes, syscalls, output_bytes } = limits;
    let size =
        |bytes: &Option<u64>, all| bytes.map_or(all, |it| usize::try_from(it).unwrap_or(all));
    standard.tightened(RunLimits {
        fuel: fuel.unwrap_or(standard.fuel),
        compute_ms: compute.map_or(standard.compute_ms, |compute| compute.0),
        memory_bytes_max: size(memory_bytes, standard.memory_bytes_max),
        syscalls_max: syscalls.unwrap_or(standard.syscalls_max),
        output_bytes_max: size(output_bytes, standard.output_bytes_max),
        ..standard
    })
}

/// Follows from the process and the operation, so that a run that is repeated is the same.
fn seed(order: &Order) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(&wire::encode(&(order.pid, order.op))).0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// What a run that has no result ends the call in. What a system call of the tool ended in is told
/// as it was recorded by the host; everything else is the tool's failure.
fn told(error: ToolError, op: OpId) -> Error {
    match error {
        ToolError::Call { error, .. } => error,
        ToolError::Internal => failed(op).into(),
        error => {
            FailureKind::ToolFailed.because(format!("{} ({})", cut(&worded(&error)), error.code()))
        }
    }
}

/// An error in words, with the place in the tool's source where one is known.
fn worded(error: &ToolError) -> String {
    match error {
        ToolError::Threw { stack, .. } | ToolError::Call { stack, .. } if !stack.is_empty() => {
            format!("{error} at {}", stack.trim())
        }
        error => error.to_string(),
    }
}

fn failed(op: OpId) -> Fault {
    Fault::ProviderFailed { kind: "sandbox".into(), op }
}

fn problem(code: &str, message: &str) -> ToolProblem {
    ToolProblem { code: code.into(), message: cut(message).into(), line: None, column: None }
}

fn uncompiled(error: &CompileError) -> ToolProblem {
    let (line, column) = error.position().map(|at| (at.line, at.column)).unzip();
    ToolProblem { line, column, ..problem(error.code(), &error.to_string()) }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(REPORT_TEXT_BYTES_MAX)]
}
