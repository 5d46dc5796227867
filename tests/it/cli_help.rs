//! The help texts of every command, as golden files, and completion scripts.
//!
//! `TIKKU_GOLDEN=write` writes `cli_help.txt` anew; read the difference before it is kept.

use std::path::Path;

use crate::cli::{DEV, bare, ran};
use crate::host::on;

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|line| !line.is_empty());
    // A line that goes on has a deeper margin.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The help texts of this command and all below it.
fn texts(path: &[String], all: &mut String) {
    let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
    args.push("--help");
    let help = ran(&mut bare(&args)).expect(0).out;
    // The options of every command stand in the first text.
    let (own, rest) = help.split_once("\nFor every command:\n").expect("the options of every command");
    let shown = if path.is_empty() { help.as_str() } else { own };
    assert!(["--url", "--api-key", "--json"].iter().all(|option| rest.contains(option)), "{help}");
    all.push_str(&format!("$ tikku {}\n{shown}\n", args.join(" ")));
    for name in commands(&help) {
        texts(&[path, &[name]].concat(), all);
    }
}

#[test]
fn help_texts_are_those_that_were_read_and_approved() {
    on(DEV, async |_| {
        let mut all = String::new();
        texts(&[], &mut all);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/cli_help.txt");
        if std::env::var("TIKKU_GOLDEN").is_ok_and(|value| value == "write") {
            std::fs::write(&golden, &all).unwrap();
        }
        let approved = std::fs::read_to_string(&golden).expect("cli_help.txt");
        let differs = all.lines().zip(approved.lines()).find(|(now, then)| now != then);
        assert!(all == approved, "the help texts have changed, first here: {differs:?}; TIKKU_GOLDEN=write writes them anew");
        for name in ["publish", "messages tail", "dlq retry", "runs fork", "doctor", "completions"] {
            assert!(all.contains(&format!("$ tikku {name} --help\n")), "{name}");
        }
    });
}

#[test]
fn every_shell_gets_a_completion_script_that_knows_the_commands() {
    on(DEV, async |_| {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = ran(&mut bare(&["completions", shell])).expect(0).out;
            assert!(script.contains("tikku") && script.contains("schedules") && script.contains("not-before"), "{shell}: {script}");
        }
        ran(&mut bare(&["completions", "cmd"])).expect(2);
    });
}

#[test]
fn the_openapi_document_is_printed() {
    on(DEV, async |_| {
        let document = ran(&mut bare(&["openapi", "--json"])).expect(0).json();
        assert!(document["paths"]["/v1/messages"].is_object());
    });
}
