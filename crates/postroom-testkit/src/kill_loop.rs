//! The proof that nothing is lost or repeated: Postroom is killed again and again while it loads a
//! mailbox; at the end each message of the server is there exactly once, byte for byte.

use crate::dovecot::Dovecot;
use crate::dovecot::DovecotOptions;
use crate::imap;
use crate::postroom::Postroom;
use crate::postroom::PostroomOptions;
use crate::postroom::wait_until;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Who owns the mailbox.
pub(crate) const USER: &str = "anna@demo.test";

/// How many messages one page of a list asks for.
const PAGE: usize = 100;

/// How long the rest may take after the last kill.
const REST: Duration = Duration::from_secs(600);

/// What to do.
#[derive(Debug, Clone)]
pub struct KillLoop {
    /// How many messages lie in the mailbox.
    pub count: usize,
    /// How often Postroom is killed.
    pub kills: usize,
    /// The kind of the messages, as in `corpus_write`.
    pub kind: char,
    /// Where the times of the kills come from; the same seed gives the same times.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub struct KillLoopResult {
    /// How many kills hit while messages were still to come.
    pub kills_during_load: usize,
    /// How many starts found messages, but fewer than all.
    pub starts_in_between: usize,
    /// From the first start to the proof.
    pub took: Duration,
}

impl KillLoop {
    /// Runs it with `binary`.
    ///
    /// # Errors
    ///
    /// When anything is lost, repeated or different, or a server does not work.
    pub async fn run(&self, binary: &Path) -> Result<KillLoopResult> {
        let dovecot = Dovecot::start(&DovecotOptions::default())?;
        dovecot.fill_corpus(self.kind, USER, self.count)?;
        let want = dovecot.digests(USER, "INBOX")?;
        ensure!(want.len() == self.count, "the server holds {} messages", want.len());

        let begin = Instant::now();
        let mut postroom = Postroom::start(binary, PostroomOptions::default())?;
        // Small portions: more commits, more places where a kill can hit.
        let options = json!({"portion_limit": 20});
        let account = postroom.account_create(&dovecot, USER, &options).await?;
        let folder = postroom.folder(&account, "INBOX").await?;
        let folder = folder["id"].as_str().context("a folder without id")?.to_owned();
        postroom.patch(&format!("email/Folders/{folder}"), &json!({"enabled": true})).await?;

        let mut result =
            KillLoopResult { kills_during_load: 0, starts_in_between: 0, took: Duration::ZERO };
        let mut random = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        for kill in 0..self.kills {
            let stored = self.let_it_load(&postroom, &folder, kill, &mut random).await?;
            result.kills_during_load += usize::from(stored < self.count);
            result.starts_in_between += usize::from(stored > 0 && stored < self.count);
            postroom.kill()?;
            postroom.restart()?;
        }
        await_all(&postroom, &folder, self.count).await?;
        prove(&postroom, &folder, &want).await?;
        result.took = begin.elapsed();
        Ok(result)
    }

    /// Waits until kill number `kill` is due: some messages further than before, and then a
    /// random moment more. Returns how many messages were stored then.
    async fn let_it_load(
        &self,
        postroom: &Postroom,
        folder: &str,
        kill: usize,
        random: &mut u64,
    ) -> Result<usize> {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let due = self.count * kill / (self.kills + 1);
        let what = format!("message {due} before kill {kill}");
        let stored = wait_until(&what, REST, async || {
            let stored = stored_count(postroom, folder).await?;
            Ok((stored >= due).then_some(stored))
        });
        let stored = stored.await?;
        tokio::time::sleep(Duration::from_micros(*random % 20_000)).await;
        Ok(stored)
    }
}

/// Waits until a folder has `count` messages, and none is still to come.
pub(crate) async fn await_all(postroom: &Postroom, folder: &str, count: usize) -> Result<()> {
    let path = format!("email/Folders/{folder}");
    let all = wait_until("all messages", REST, async || {
        // The database may still be on its way back.
        let folder = postroom.get(&path).await.unwrap_or_default();
        let all = folder["storedCount"] == count && folder["pendingCount"] == 0;
        Ok(all.then_some(()))
    });
    if let Err(error) = all.await {
        let folder = postroom.get(&path).await?;
        return Err(error.context(format!("{folder}\n{}", postroom.log())));
    }
    Ok(())
}

/// How many messages of a folder are stored.
pub(crate) async fn stored_count(postroom: &Postroom, folder: &str) -> Result<usize> {
    let count = postroom.count(&format!("email/Messages?folder_id={folder}")).await?;
    Ok(usize::try_from(count)?)
}

/// Compares all messages of the folder with what the server's FETCH gave.
pub(crate) async fn prove(
    postroom: &Postroom,
    folder: &str,
    want: &BTreeMap<u32, String>,
) -> Result<()> {
    let count = stored_count(postroom, folder).await?;
    ensure!(count == want.len(), "{count} messages instead of {}", want.len());
    let mut open = want.clone();
    for offset in (0..count).step_by(PAGE) {
        let page =
            format!("email/Messages?folder_id={folder}&order=uid&limit={PAGE}&offset={offset}");
        let messages = postroom.get(&page).await?;
        for message in messages.as_array().context("a list that is none")? {
            let uid = message["uid"].as_u64().context("a message without uid")?;
            let uid = u32::try_from(uid)?;
            let digest =
                open.remove(&uid).with_context(|| format!("UID {uid} twice or unknown"))?;
            ensure!(raw_digest(postroom, message).await? == digest, "UID {uid} differs");
        }
    }
    ensure!(open.is_empty(), "missing UIDs: {:?}", open.keys());
    Ok(())
}

async fn raw_digest(postroom: &Postroom, message: &Value) -> Result<String> {
    let id = message["id"].as_str().context("a message without id")?;
    let raw = postroom.bytes(&format!("email/Messages/{id}/rawMessage")).await?;
    Ok(imap::sha256(&raw))
}
