//! The dashboard in a real browser: what it needs, its checks, and the README's screenshots.
//!
//! Stage: tests. Out of scope: the checks themselves (`tests/browser`), which start `tikku dev`, endpoints, an app and Chromium.

use std::process::Command;

use anyhow::Result;

use crate::env::{Env, run};
use crate::suites::{self, Tally};
use crate::{sdk, tools};

/// Every page and every action.
pub fn test(env: &Env) -> Result<Tally> {
    suites::counted(&mut checks(env)?, count)
}

/// Writes `docs/screenshots` anew.
pub fn screenshots(env: &Env) -> Result<()> {
    run(checks(env)?.args(["--docs", "clean of faults"]))
}

/// The program, with all that it needs installed and built.
fn checks(env: &Env) -> Result<Command> {
    tools::postgres(env)?;
    tools::node(env)?;
    let chromium = tools::browser(env)?;
    sdk::typescript_built(env)?;
    run(env.command("cargo").args(["build", "--quiet", "--package", "tikku-cli"]))?;
    let mut command = env.command("node");
    command.arg("tests/browser/run.mjs").env("TIKKU_CHROMIUM", chromium).env("TIKKU_BROWSER_OUT", env.target.join("browser"));
    suites::environment(env, &mut command);
    Ok(command)
}

/// Reads `40 passed, 1 failed`, the last line.
fn count(tally: &mut Tally, line: &str) {
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    if let [passed, "passed", failed, "failed"] = words[..]
        && let (Ok(passed), Ok(failed)) = (passed.parse(), failed.parse())
    {
        *tally = Tally::of(passed, failed, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, count};

    #[test]
    fn the_last_line_is_read() {
        let mut tally = Tally::default();
        for line in ["ok   a page (12 ms)", "FAIL 3 passed, 1 failed (2 ms)", "40 passed, 1 failed"] {
            count(&mut tally, line);
        }
        assert_eq!(tally.line(), "40 passed, 1 failed");
    }
}
