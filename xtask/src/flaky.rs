//! What becomes of a test that failed beside others: it is run once more, alone. Passed then, it is called flaky, by name, and not passed.
//!
//! Stage: the integration parts of the test command, whose scenarios share processes, cores and a clock. Out of scope: how a test is run
//! (`suites.rs`), and what makes it flaky, which somebody has to find.

use anyhow::Result;

use crate::suites::Tally;

/// More failures than this in one part are no accident: none of them is run again.
pub const FAILURES_MAX: usize = 3;

/// Reads the names of the tests that failed out of what libtest prints at its end.
#[derive(Default)]
pub struct Failed {
    names: Vec<String>,
    listed: bool,
}

impl Failed {
    /// Reads one line. The list is the second that is headed `failures:`; the first one, with their output, begins with an empty line.
    pub fn read(&mut self, line: &str) {
        if line == "failures:" {
            self.listed = true;
            return;
        }
        match line.strip_prefix("    ") {
            Some(name) if self.listed && !name.is_empty() && !name.contains(' ') => self.names.push(name.to_owned()),
            _ => self.listed = false,
        }
    }

    /// Those that were listed.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Runs what failed once more by `alone`, if it is little and all of it is known by name; answers what is to be reported.
pub fn judge(mut tally: Tally, failed: &Failed, alone: impl Fn(&str) -> Result<Tally>) -> Tally {
    let names = failed.names();
    if names.is_empty() || names.len() > FAILURES_MAX || names.len() != tally.failures() {
        return tally;
    }
    for name in names {
        eprintln!("\n-- {name} failed beside others: once more, alone");
        match alone(name) {
            Ok(second) if second.failures() == 0 => tally.passed_alone(name),
            Ok(_) => eprintln!("-- {name} failed alone too"),
            Err(error) => eprintln!("-- {name} alone: {error:#}"),
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::{Failed, judge};
    use crate::suites::Tally;

    const OUTPUT: &str = "
running 5 tests
test a::works ... ok
test b::breaks ... FAILED
test b::breaks_too ... FAILED

successes:

---- a::works stdout ----
    indented words

successes:
    a::works

failures:

---- b::breaks stdout ----
left:
    b::not_a_name
thread 'b::breaks' panicked at tests/it/b.rs:1:1:

---- b::breaks_too stdout ----
failures: many

failures:
    b::breaks
    b::breaks_too

test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s
";

    fn failed(output: &str) -> Failed {
        let mut failed = Failed::default();
        output.lines().for_each(|line| failed.read(line));
        failed
    }

    #[test]
    fn the_closing_list_names_what_failed() {
        assert_eq!(failed(OUTPUT).names(), ["b::breaks", "b::breaks_too"]);
        assert!(failed("test a ... ok\n\ntest result: ok. 1 passed; 0 failed").names().is_empty());
    }

    #[test]
    fn what_passes_alone_is_flaky_and_what_does_not_stays_failed() {
        let judged = judge(Tally::of(3, 2, 1), &failed(OUTPUT), |name| {
            Ok(if name == "b::breaks" { Tally::of(1, 0, 0) } else { Tally::of(0, 1, 0) })
        });
        assert_eq!(judged.line(), "3 passed, 1 failed, 1 flaky, 1 skipped");
        assert_eq!(judged.flaky(), ["b::breaks"]);
        let judged = judge(Tally::of(3, 2, 0), &failed(OUTPUT), |_| Err(anyhow!("it crashed")));
        assert_eq!(judged.line(), "3 passed, 2 failed");
    }

    #[test]
    fn too_many_failures_or_one_without_a_name_are_not_run_again() {
        let never = |name: &str| panic!("{name} was run again");
        assert_eq!(judge(Tally::of(3, 3, 0), &failed(OUTPUT), never).line(), "3 passed, 3 failed");
        assert_eq!(judge(Tally::of(3, 1, 0), &Failed::default(), never).line(), "3 passed, 1 failed");
        let four = failed("failures:\n    a\n    b\n    c\n    d\n");
        assert_eq!(judge(Tally::of(0, 4, 0), &four, never).line(), "0 passed, 4 failed");
    }
}
