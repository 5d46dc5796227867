//! Test bed: verifies signatures with the Standard Webhooks libraries of other languages, each in one helper process.
//!
//! Python always; JavaScript too when `TIKKU_NODE_MODULES` names a folder that has the package.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use base64::Engine;
use serde_json::{Value, json};

use crate::endpoint::Received;

const PYTHON: &str = r"
import base64, json, sys
from standardwebhooks import Webhook
for line in sys.stdin:
    case = json.loads(line)
    try:
        Webhook(case['secret']).verify(base64.b64decode(case['body']), case['headers'], json_parse=False)
        print('ok', flush=True)
    except Exception as e:
        print(repr(e), flush=True)
";

const JAVASCRIPT: &str = r"
const { Webhook } = require('standardwebhooks');
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const c = JSON.parse(line);
  try { new Webhook(c.secret).verify(Buffer.from(c.body, 'base64').toString(), c.headers, { jsonParse: false }); console.log('ok'); }
  catch (e) { console.log(String(e)); }
});
";

/// Says whether every library takes the push as signed with this secret; the error is the first refusal.
pub fn verify(secret: &str, push: &Received) -> Result<(), String> {
    static LIBRARIES: OnceLock<Vec<Mutex<Child>>> = OnceLock::new();
    let headers: serde_json::Map<String, Value> = push.headers.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
    let case = json!({ "secret": secret, "headers": headers, "body": base64::engine::general_purpose::STANDARD.encode(&push.body) });
    for library in LIBRARIES.get_or_init(libraries) {
        let mut library = library.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(library.stdin.as_mut().unwrap(), "{case}").expect("the verifier lives");
        let mut line = String::new();
        // One line is read for each line written, so a new reader never holds bytes of the next answer.
        BufReader::new(library.stdout.as_mut().unwrap()).read_line(&mut line).expect("the verifier answers");
        if line.trim() != "ok" {
            return Err(line.trim().to_owned());
        }
    }
    Ok(())
}

// They end by themselves when their standard input closes.
fn libraries() -> Vec<Mutex<Child>> {
    let start =
        |command: &mut Command| Mutex::new(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a verifier starts"));
    let mut all = vec![start(Command::new(python().expect("python")).args(["-c", PYTHON]))];
    if let Some(modules) = std::env::var_os("TIKKU_NODE_MODULES") {
        all.push(start(Command::new("node").args(["-e", JAVASCRIPT]).env("NODE_PATH", modules)));
    }
    all
}

/// The Python with the packages that the tests need.
pub fn python() -> anyhow::Result<std::ffi::OsString> {
    std::env::var_os("TIKKU_PYTHON")
        .ok_or_else(|| anyhow::anyhow!("TIKKU_PYTHON is not set: run the tests by `cargo xtask test` after `cargo xtask setup`"))
}
