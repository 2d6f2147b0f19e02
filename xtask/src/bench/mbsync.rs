//! One full receive of an INBOX by mbsync into an empty Maildir, with its default settings.

use anyhow::Result;
use anyhow::ensure;
use postroom_testkit::Dovecot;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// Runs it to its end and returns the time that it took. `directory` must be empty.
///
/// # Errors
///
/// When it fails or does not receive `count` messages.
pub fn receive(dovecot: &Dovecot, user: &str, count: usize, directory: &Path) -> Result<Duration> {
    let at = directory.display();
    let (port, password) = (dovecot.imap_port(), Dovecot::PASSWORD);
    // SSLType and AuthMechs only say that loopback needs no encryption. Everything else is the
    // default, including FSync.
    let config = format!(
        "IMAPAccount measured\nHost 127.0.0.1\nPort {port}\nUser {user}\nPass {password}\n\
         SSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount measured\n\n\
         MaildirStore near\nPath {at}/mail/\nInbox {at}/mail/INBOX\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n"
    );
    fs::create_dir(directory.join("mail"))?;
    fs::write(directory.join("mbsyncrc"), config)?;
    let begin = Instant::now();
    let mut mbsync = Command::new("mbsync");
    let ran = mbsync.arg("-q").arg("-c").arg(directory.join("mbsyncrc")).arg("-a").output()?;
    let took = begin.elapsed();
    ensure!(ran.status.success(), "mbsync: {}", String::from_utf8_lossy(&ran.stderr));
    let received: usize = ["new", "cur"]
        .iter()
        .filter_map(|part| fs::read_dir(directory.join("mail/INBOX").join(part)).ok())
        .map(Iterator::count)
        .sum();
    ensure!(received == count, "mbsync received {received} messages instead of {count}");
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_testkit::DovecotOptions;
    use postroom_testkit::Need;
    use postroom_testkit::require;
    use postroom_testkit::sample;

    #[test]
    fn it_receives_the_whole_mailbox() {
        if !require(&[Need::Dovecot, Need::Mbsync]) {
            return;
        }
        let dovecot = Dovecot::start(&DovecotOptions::default()).unwrap();
        let messages = (0..30).map(|number| sample(number, 2000));
        dovecot.fill("anna@demo.test", "INBOX", messages).unwrap();
        let directory = tempfile::tempdir().unwrap();
        receive(&dovecot, "anna@demo.test", 30, directory.path()).unwrap();
    }
}
