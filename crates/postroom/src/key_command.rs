//! The master key from wherever it is: a file, a command, a systemd credential or the environment.

use crate::key_arguments::MasterKeyArguments;
use crate::secrets;
use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use rustix::process::Pid;
use rustix::process::Signal;
use secrecy::SecretString;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::process::ChildStdout;
use tokio::process::Command;
use tokio::time::timeout;

/// How long a command may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How many bytes of its output are read.
const OUTPUT_BYTES_MAX: usize = 4096;
/// What the errors name.
const ARGUMENT: &str = "--master-key-command";

/// The master key that is given. `None`: it is in the data directory.
///
/// # Errors
///
/// When the file, the command or the variable gives none. No error has anything of its output.
pub(crate) async fn master_key(
    arguments: &MasterKeyArguments,
) -> anyhow::Result<Option<SecretString>> {
    match &arguments.master_key_command {
        Some(command) => output(command, DEADLINE).await.map(Some),
        None => secrets::MASTER_KEY.read(arguments.master_key_file.as_deref()),
    }
}

/// The standard output of a command, without the line end after it.
async fn output(command: &str, deadline: Duration) -> anyhow::Result<SecretString> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // What it says may have secrets.
        .stderr(Stdio::null())
        // What it starts ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{ARGUMENT}: `sh` cannot be started"))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let stdout = child.stdout.take().context("no standard output")?;
    let read = timeout(deadline, key_of(&mut child, stdout)).await;
    if let (false, Some(group)) = (matches!(read, Ok(Ok(_))), group) {
        // It fails if all of them have ended, which is what is wanted.
        rustix::process::kill_process_group(group, Signal::KILL).ok();
    }
    read.unwrap_or_else(|_| {
        bail!(
            "{ARGUMENT}: the command did not end within {} seconds, and was ended: run it by hand \
             to see what it waits for",
            deadline.as_secs()
        )
    })
}

async fn key_of(child: &mut Child, stdout: ChildStdout) -> anyhow::Result<SecretString> {
    // It has its full size from the start, so that no copies of it are left in memory.
    let mut bytes = Vec::with_capacity(OUTPUT_BYTES_MAX + 1);
    let mut stdout = stdout.take(OUTPUT_BYTES_MAX as u64 + 1);
    stdout.read_to_end(&mut bytes).await.with_context(|| format!("{ARGUMENT}: its output"))?;
    ensure!(
        bytes.len() <= OUTPUT_BYTES_MAX,
        "{ARGUMENT}: the command writes more than {OUTPUT_BYTES_MAX} bytes: it must write the key \
         alone, 64 hexadecimal digits"
    );
    let text = String::from_utf8(bytes).map_err(|_| {
        anyhow::anyhow!(
            "{ARGUMENT}: what the command writes is no text: it must write the key alone, 64 \
         hexadecimal digits"
        )
    })?;
    let text = SecretString::from(text);
    let status = child.wait().await.with_context(|| format!("{ARGUMENT}: its end"))?;
    ensure!(
        status.success(),
        "{ARGUMENT}: the command failed ({status}): run it by hand to see why. What it writes to \
         standard error is not shown, because it may have secrets"
    );
    secrets::trimmed(&text).with_context(|| format!("{ARGUMENT}: the command writes nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    async fn of(command: &str) -> Result<String, String> {
        let read = output(command, Duration::from_secs(20)).await;
        read.map(|key| key.expose_secret().to_owned()).map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn the_key_is_what_the_command_writes_without_the_line_end() {
        assert_eq!(of("echo canary; echo more >&2").await.unwrap(), "canary");
        assert_eq!(of("printf 'a b\\r\\n'").await.unwrap(), "a b");
    }

    #[tokio::test]
    async fn an_error_says_what_to_do_and_nothing_of_the_output() {
        #[rustfmt::skip]
        let table = [
            ("echo canary; exit 3",                "exit status: 3"),
            ("echo canary >&2; false",             "run it by hand"),
            ("true",                               "writes nothing"),
            ("yes canary",                         "more than 4096 bytes"),
            ("printf '\\377canary'",               "no text"),
            ("no-such-command-canary 2>/dev/null", "exit status: 127"),
        ];
        for (command, why) in table {
            let error = of(command).await.unwrap_err();
            assert!(error.contains("--master-key-command") && error.contains(why), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended_with_all_that_it_has_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let command = format!("sleep 600 & echo $! > {}; wait", file.display());
        let error = output(&command, Duration::from_secs(1)).await.unwrap_err().to_string();
        assert!(error.contains("did not end within 1 seconds"), "{error}");
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let is_there = || rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok();
        // Whoever adopts it reaps it.
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while is_there() && !stat().contains(") Z ") {
            tokio::task::yield_now().await;
        }
    }
}
