//! Test bed: starts real programs and makes sure that none outlives the test process, however that ends.
//!
//! Out of scope: what the programs are (`postgres.rs`, `host/`). Every program leads its own process group. One watchdog, a shell
//! that reads its standard input, knows all groups; when the test process dies the pipe closes and the watchdog ends them.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

// Of earlier runs: one test command makes three.
const LOGS_KEPT: usize = 9;
/// More than `tikku dev` gives its pushes (5 s) and its Postgres (20 s) together: a busy machine is no failure.
const GRACE: Duration = Duration::from_secs(90);

// Lines are `add PGID SIGNAL` and `del PGID`; the end of input ends what is left, then removes the run's folder.
const WATCHDOG: &str = r#"
set --
left=" "
while read -r op pid sig; do
  case $op in
    add) left="$left$pid:$sig " ;;
    del) new=" "; for e in $left; do [ "${e%%:*}" = "$pid" ] || new="$new$e "; done; left=$new ;;
  esac
done
for e in $left; do kill -s "${e##*:}" -- -"${e%%:*}" 2>/dev/null; done
[ "$left" = " " ] || sleep 4
for e in $left; do kill -s KILL -- -"${e%%:*}" 2>/dev/null; done
rm -rf -- "$TIKKU_RUN_DIR"
"#;

/// A program that was started, the leader of its process group.
pub struct Process {
    child: Mutex<Child>,
    pid: u32,
    end_signal: &'static str,
}

/// The folder of this run: databases, sockets, state. Any user may enter it; removed at the end.
pub fn run_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("tikku-it-").tempdir().expect("a temporary folder").keep();
        std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
        dir
    })
}

/// The folder of this run's logs, kept afterwards (in the target folder) for whoever reads a failure.
pub fn log_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
        forget_old_logs(all);
        let dir = all.join(format!("it-logs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder for logs");
        dir
    })
}

fn forget_old_logs(all: &Path) {
    let entries = std::fs::read_dir(all).into_iter().flatten().flatten();
    let logs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("it-logs-"));
    let mut dated: Vec<_> = logs.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    dated.sort();
    let surplus = dated.len().saturating_sub(LOGS_KEPT);
    for (_, path) in &dated[..surplus] {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// A TCP port of 127.0.0.1 that nothing listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn watchdog(line: &str) {
    static PIPE: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let pipe = PIPE.get_or_init(|| {
        #[expect(clippy::zombie_processes, reason = "it outlives this process by design")]
        let mut shell = Command::new("sh")
            .args(["-c", WATCHDOG])
            .env("TIKKU_RUN_DIR", run_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh");
        Mutex::new(shell.stdin.take().expect("a piped stdin"))
    });
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(pipe, "{line}").expect("the watchdog lives");
}

impl Process {
    /// Starts `command`, its output appended to the log `<name>.log`; `end_signal` is what asks it to stop cleanly.
    pub fn start(name: &str, command: &mut Command, end_signal: &'static str) -> Result<Process> {
        let log = log_dir().join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        watchdog(&format!("add {} {end_signal}", child.id()));
        Ok(Process { pid: child.id(), child: Mutex::new(child), end_signal })
    }

    /// Sends `signal` to the whole group.
    pub fn signal(&self, signal: &str) {
        let _ = Command::new("kill").args([&format!("-{signal}"), "--", &format!("-{}", self.pid)]).stderr(Stdio::null()).status();
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// Kills the group at once and waits until it is gone.
    pub fn kill(&self) {
        self.signal("KILL");
        self.wait(GRACE);
    }

    /// Asks it to stop, waits at most `GRACE`, then kills; returns whether it stopped by itself.
    pub fn stop(&self) -> bool {
        self.signal(self.end_signal);
        if self.wait(GRACE) {
            return true;
        }
        self.kill();
        false
    }

    /// Waits for the end, at most `limit`; returns whether it ended.
    pub fn wait(&self, limit: Duration) -> bool {
        let start = Instant::now();
        while self.is_running() {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        watchdog(&format!("del {}", self.pid));
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.stop();
        }
    }
}

/// Runs a program to its end and returns its standard output; an error holds all that it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(output.status.success(), "{command:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(text)
}
