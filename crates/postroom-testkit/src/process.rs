//! Processes that end with their owner, their directories, free ports, and waiting for an answer.
//!
//! A guard (a shell that reads a pipe of ours) stands beside each process: when this process is
//! killed, the pipe closes and the guard ends what we started and removes its directory.

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::fs;
use std::io::Read;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How often a condition is looked at while we wait for it.
const LOOK: Duration = Duration::from_millis(5);

/// How long a process may take to end after it was asked to.
const END: Duration = Duration::from_secs(20);

/// The first port for servers that come back to it, and how many there are.
const LASTING_PORT_FIRST: u16 = 20_000;
const LASTING_PORTS: u16 = 10_000;

/// `$1` is the process (and group) to end, `$2` the directory to remove, `$3` the signal that ends
/// what the process has outside of its group; `0` where there is nothing.
const GUARD: &str = r#"
cat >/dev/null
if [ "$3" != 0 ]; then
    kill "-$3" "$1" 2>/dev/null
    for _ in $(seq 100); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.05
    done
fi
kill -KILL -- "-$1" 2>/dev/null
case "$2" in /tmp/*) rm -rf -- "$2" ;; esac
"#;

/// A running process with its guard.
pub(crate) struct Process {
    child: Child,
    guard: Child,
}

impl Process {
    /// Starts `command` in a process group of its own. `directory` is what belongs to it alone.
    pub(crate) fn start(command: &mut Command, directory: &Path) -> Result<Self> {
        Self::start_ended_by(command, directory, "0")
    }

    /// The same for a process whose children leave its group, and end when it gets this signal.
    pub(crate) fn start_ended_by(
        command: &mut Command,
        directory: &Path,
        end: &str,
    ) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", &child.id().to_string()])
            .arg(directory)
            .arg(end)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("starting the guard of a process")?;
        Ok(Self { child, guard })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The status if it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Takes the pipe of its standard output, once.
    pub(crate) fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it and its whole process group at once. For servers whose files go with them.
    pub(crate) fn kill_group(&mut self) {
        let _ = signal("-KILL", &format!("-{}", self.child.id()));
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM) and waits; kills its group when it does not obey in time.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus> {
        self.stop_by("-TERM")
    }

    /// The same with another signal.
    pub(crate) fn stop_by(&mut self, end: &str) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        signal(end, &self.child.id().to_string())?;
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
        signal("-KILL", &format!("-{}", self.child.id()))?;
        self.child.wait()?;
        bail!("did not end within {} s of SIG{}", END.as_secs(), end.trim_start_matches('-'))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stop();
        // The guard goes only now: had we died before, it would have done the same.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

/// Sends a signal to a process, or to a group when `target` begins with a minus sign.
pub(crate) fn signal(signal: &str, target: &str) -> Result<()> {
    let status = Command::new("kill").args([signal, "--", target]).stderr(Stdio::null()).status();
    status.context("running kill")?;
    Ok(())
}

/// CPU time that process `id` used so far, user and system, its ended children included.
/// `None` when it is not there (or the system has no `/proc`).
pub(crate) fn cpu_time(id: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').skip(11).take(4).filter_map(|f| f.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every Linux that is in use.
    Some(Duration::from_millis(ticks * 10))
}

/// A directory that other users may pass through, with a path short enough for sockets.
pub(crate) fn private_directory(prefix: &str) -> Result<TempDir> {
    let directory = tempfile::Builder::new().prefix(prefix).tempdir_in("/tmp")?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}

/// `N` different ports of 127.0.0.1 that were free a moment ago.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// A port of 127.0.0.1 that was free a moment ago, for a server that comes back to it. It is below
/// the ports that the system gives to clients, so none of them takes it while the server is away.
pub(crate) fn lasting_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let from = std::process::id() % u32::from(LASTING_PORTS);
    let from = u16::try_from(from).unwrap_or_default();
    for _ in 0..LASTING_PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = LASTING_PORT_FIRST + from.wrapping_add(step) % LASTING_PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {LASTING_PORT_FIRST} on is free")
}

/// Waits until `port` answers with a greeting that holds `mark`, so that it is our server and not
/// another that took the port before ours could.
pub(crate) fn await_greeting(process: &mut Process, port: u16, mark: &str) -> Result<()> {
    let deadline = Instant::now() + END;
    while Instant::now() < deadline {
        if let Some(status) = process.ended()? {
            bail!("ended at its start, {status}");
        }
        match greeting(port) {
            Some(line) if line.contains(mark) => return Ok(()),
            Some(line) if !line.is_empty() => bail!("port {port} belongs to another: {line}"),
            Some(_) | None => std::thread::sleep(LOOK),
        }
    }
    bail!("nothing answers on port {port} after {} s", END.as_secs())
}

fn greeting(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 1000 && stream.read(&mut byte).is_ok_and(|n| n == 1) && byte != *b"\n" {
        line.extend_from_slice(&byte);
    }
    Some(String::from_utf8_lossy(&line).into_owned())
}
