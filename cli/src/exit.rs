//! How a command ends: its exit code, and the one sentence that says what went wrong.
//!
//! Out of scope: where the sentence comes from (`api` reads it out of the problem document).

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};

/// What `tikku --help` says of exit codes.
pub const HELP: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 unauthorised or not allowed, 5 nobody answered or busy, 6 waited too long.\n\
    TIKKU_URL and TIKKU_API_KEY say which deployment is meant; without both, a `tikku dev` that runs in this folder is.";

/// Why a command did not succeed. The numbers are the exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was tried and did not work, or the API refused what was asked.
    Failed = 1,
    /// The command line, or a setting, is wrong; nothing was tried.
    Usage = 2,
    /// There is no such thing in this account.
    NotFound = 3,
    /// The key does not work, or its role does not allow this.
    Refused = 4,
    /// Nobody answered, or the service said that it cannot for the moment.
    Unreachable = 5,
    /// What was waited for did not happen in time.
    TooLong = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An end that is not success.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The exit code.
    pub exit: Exit,
    /// One sentence.
    pub text: String,
    /// The problem document, where the API answered one.
    pub problem: Option<Value>,
}

impl Fault {
    /// A fault without a problem document.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), problem: None }
    }

    /// The same as an error, for `return Err(...)`.
    pub fn error(exit: Exit, text: impl Into<String>) -> anyhow::Error {
        Self::new(exit, text).into()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

/// The exit code of an error: its fault's, or 1.
pub fn code(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Fault>().map_or(Exit::Failed, |fault| fault.exit)
}

/// The error as one JSON object, for `--json`.
pub fn document(error: &anyhow::Error) -> Value {
    let mut document = json!({ "error": format!("{error:#}"), "exitCode": code(error) as u8 });
    if let Some(problem) = error.downcast_ref::<Fault>().and_then(|fault| fault.problem.clone()) {
        document["problem"] = problem;
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_fault_keeps_its_code_under_context_and_others_have_one() {
        let fault = Fault::error(Exit::NotFound, "there is no such run").context("could not wait");
        assert_eq!(code(&fault), Exit::NotFound);
        assert_eq!(document(&fault), json!({ "error": "could not wait: there is no such run", "exitCode": 3 }));
        assert_eq!(code(&anyhow::anyhow!("no disk")), Exit::Failed);
        let io: anyhow::Result<()> = Err(std::io::Error::other("x")).context("y");
        assert_eq!(code(&io.unwrap_err()), Exit::Failed);
    }
}
