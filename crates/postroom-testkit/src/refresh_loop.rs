//! The proof that tokens which are replaced cost no mail. Tokens end every other second while mail
//! flows through a Dovecot and a Postfix that ask the provider whether each is good. Then Postroom
//! is killed just after answers of the provider, again and again.

use crate::access_tokens::TokenLogin;
use crate::access_tokens::TokenMechanism;
use crate::database_loop::random_next;
use crate::dovecot::DovecotOptions;
use crate::kill_loop::await_all;
use crate::kill_loop::prove;
use crate::kill_loop::stored_count;
use crate::mail_servers::MailServers;
use crate::mail_servers::SentMessage;
use crate::postfix::PostfixOptions;
use crate::postroom::Postroom;
use crate::postroom::PostroomOptions;
use crate::postroom::wait_until;
use crate::provider_relay::ProviderRelay;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use postroom_sandbox::TokenFault;
use postroom_sandbox::TokenServer;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How long anything may take until it is as it should be.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long tokens live.
const LIFE: Duration = Duration::from_secs(2);

/// How long the provider thinks, so that questions would overlap if they could.
const THOUGHT: Duration = Duration::from_millis(100);

/// How long Postroom may live after an answer of the provider.
const AFTER_ANSWER: Duration = Duration::from_millis(3);

/// So many times the kills are made at most, if none hits before the commit.
const KILLS_TIMES_MAX: usize = 5;

/// After this time, connections are ended again, so that somebody logs in.
const HANG_UP: Duration = Duration::from_millis(500);

/// What to do.
#[derive(Debug, Clone)]
pub struct TokenLoop {
    /// How many mailboxes exchange mail.
    pub accounts: usize,
    /// How many tokens the provider gives, at least, before the first kill.
    pub refreshes: usize,
    /// How often Postroom is killed just after an answer of the provider. It goes on until one
    /// kill has hit before the answer was stored.
    pub kills: usize,
    /// For how long the provider takes a refresh token again that it has replaced.
    pub grace: Duration,
    /// How tokens are sent to the servers.
    pub mechanism: TokenMechanism,
    /// Where the times of all that come from.
    pub seed: u64,
    /// The address of a PostgreSQL database. `None`: that of the test, or SQLite.
    pub database: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct TokenLoopResult {
    /// How many tokens the provider gave before the first kill.
    pub refreshes: usize,
    /// How long a message took at most until it was stored, before the first kill.
    pub slowest: Duration,
    /// How often Postroom was killed.
    pub kills: usize,
    /// How many messages were received, each once.
    pub received: usize,
    /// How many were sent without any doubt.
    pub sent: usize,
    /// How many may have been sent or not, and say so, because Postroom was killed in the moment
    /// between.
    pub uncertain: usize,
    /// How often an account said after a kill that an answer was lost, and got a new consent.
    pub consents: usize,
    /// How often the provider took a refresh token again, because its answer was lost.
    pub taken_again: usize,
    /// From the first start to the proof.
    pub took: Duration,
}

/// The servers, and what is under test.
struct TokenWorld {
    mail: MailServers,
    provider: TokenServer,
    postroom: Postroom,
    accounts: Vec<TokenAccount>,
    relay: ProviderRelay,
}

/// A mailbox, and what went through it.
struct TokenAccount {
    address: String,
    id: String,
    folder: String,
    delivered: usize,
    sent: Vec<SentMessage>,
}

/// What may happen while mail flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnFailure {
    /// No account may fail.
    None,
    /// An account whose answer was lost gets a new consent.
    Consent,
}

impl TokenLoop {
    /// Runs it with `binary`.
    ///
    /// # Errors
    ///
    /// When a message is lost or repeated, an account fails without saying that an answer was lost,
    /// a provider is asked twice at once, or a server does not work.
    pub async fn run(&self, binary: &Path) -> Result<TokenLoopResult> {
        let mut world = TokenWorld::start(self, binary).await?;
        let begin = Instant::now();
        let mut random = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut result = TokenLoopResult::default();
        let ran = self.exchange(&mut world, &mut random, &mut result).await;
        ran.with_context(|| format!("{result:?}\n{}", world.log()))?;
        for kill in 0..self.kills * KILLS_TIMES_MAX {
            if kill >= self.kills && result.consents + result.taken_again > 0 {
                break;
            }
            let ran = world.kill(&mut random, &mut result).await;
            ran.with_context(|| format!("kill {kill}, {result:?}\n{}", world.log()))?;
            result.kills += 1;
            result.taken_again = world.relay.again();
        }
        world.prove(&mut result).await?;
        result.took = begin.elapsed();
        Ok(result)
    }

    /// Lets mail flow until the provider has given the tokens.
    async fn exchange(
        &self,
        world: &mut TokenWorld,
        random: &mut u64,
        result: &mut TokenLoopResult,
    ) -> Result<()> {
        world.provider.always(Some(TokenFault::Slow(THOUGHT)));
        while world.provider.asked().len() < self.refreshes {
            let began = Instant::now();
            world.exchange().await?;
            result.consents += world.flow(OnFailure::None).await?;
            result.slowest = result.slowest.max(began.elapsed());
            let pause = Duration::from_millis(1_000 + random_next(random) % 900);
            tokio::time::sleep_until(began + pause).await;
        }
        let asked = world.provider.asked();
        result.refreshes = asked.len();
        let refused = asked.iter().find(|one| one.status.is_some_and(|status| status != 200));
        ensure!(refused.is_none(), "the provider refused {refused:?}");
        let at_once = world.relay.at_once();
        ensure!(at_once <= 1, "{at_once} questions of one account at once");
        world.provider.always(None);
        Ok(())
    }
}

impl TokenWorld {
    async fn start(plan: &TokenLoop, binary: &Path) -> Result<Self> {
        let provider = TokenServer::default();
        provider.live(LIFE);
        provider.rotate();
        let relay = ProviderRelay::listen(provider.clone(), plan.grace).await?;
        let tokens = TokenLogin { mechanism: plan.mechanism, provider: relay.address };
        let dovecot = DovecotOptions { tokens: Some(tokens), ..DovecotOptions::default() };
        // A connection for sending ends soon, so that the next message needs a login.
        let extra = "smtpd_timeout = 1s\n".to_owned();
        let postfix = PostfixOptions { auth: true, extra, ..PostfixOptions::default() };
        let mail = MailServers::start(&dovecot, &postfix)?;
        let database = plan.database.clone();
        let options = PostroomOptions { database, ..PostroomOptions::default() };
        let postroom = Postroom::start(binary, options)?;
        let accounts = vec![];
        let mut world = Self { mail, provider, postroom, accounts, relay };
        world.accounts_create(plan.accounts).await?;
        Ok(world)
    }

    /// Makes the app and the accounts, whose owners consent.
    async fn accounts_create(&mut self, count: usize) -> Result<()> {
        let options = json!({"retry_first": 0.2, "after_read_timeout": 0.5});
        let profile = self.postroom.post("email/Profiles", &self.mail.profile(&options)).await?;
        let app = json!({
            "name": "ours", "clientId": "client", "clientSecret": "hush", "scopes": ["mail"],
            "tokenUrl": format!("http://{}/token", self.relay.address),
        });
        let app = self.postroom.post("email/OAuthApps", &app).await?;
        for number in 0..count {
            let address = format!("box{number}@demo.test");
            let account = json!({
                "profile_id": profile["id"], "address": address, "oauthApp_id": app["id"],
                "refreshToken": self.provider.consent(&address),
            });
            let account = self.postroom.post("email/Accounts", &account).await?;
            let id = account["id"].as_str().context("an account without id")?.to_owned();
            let folder = self.postroom.folder(&id, "INBOX").await?;
            let folder = folder["id"].as_str().context("a folder without id")?.to_owned();
            let path = format!("email/Folders/{folder}");
            self.postroom.patch(&path, &json!({"enabled": true})).await?;
            self.accounts.push(TokenAccount { address, id, folder, delivered: 0, sent: vec![] });
        }
        Ok(())
    }

    /// A message arrives in each mailbox, one is to be sent from each, and each has to log in.
    async fn exchange(&mut self) -> Result<()> {
        for account in &mut self.accounts {
            let subject = format!("{} {}", account.address, account.delivered);
            let mail = format!("Subject: {subject}\r\n\r\nHello.\r\n");
            self.mail.dovecot.append(&account.address, "INBOX", mail.as_bytes())?;
            account.delivered += 1;
            let sent = self.mail.send(&self.postroom, &account.id, subject).await?;
            account.sent.push(sent);
            self.mail.dovecot.hang_up(&account.address)?;
        }
        Ok(())
    }

    /// Waits until each account has received and sent all. Returns how many consents were given.
    async fn flow(&self, then: OnFailure) -> Result<usize> {
        let mut consents = 0;
        for account in &self.accounts {
            let flowed = wait_until(&account.address, PATIENCE, async || {
                consents += self.look(account, then).await?;
                let is_stored =
                    stored_count(&self.postroom, &account.folder).await? == account.delivered;
                let last = account.sent.last().context("nothing was sent")?;
                let is_sent = last.look(&self.postroom).await?["messageState"] != "sending";
                Ok((is_stored && is_sent).then_some(()))
            });
            if let Err(error) = flowed.await {
                let now = self.postroom.get(&format!("email/Accounts/{}", account.id)).await?;
                return Err(error.context(now.to_string()));
            }
        }
        Ok(consents)
    }

    /// Looks whether an account has failed. Returns how many consents were given.
    async fn look(&self, account: &TokenAccount, then: OnFailure) -> Result<usize> {
        let path = format!("email/Accounts/{}", account.id);
        let now = self.postroom.get(&path).await?;
        if now["state"] != "failed" {
            return Ok(0);
        }
        let text = now["statusText"].as_str().unwrap_or_default();
        let is_named = text.contains("its answer is lost") && text.contains("consent again");
        ensure!(then == OnFailure::Consent && is_named, "it has failed: {now}");
        let consent = json!({"refreshToken": self.provider.consent(&account.address)});
        self.postroom.patch(&path, &consent).await?;
        // What it said before is not to be seen again.
        wait_until("a try of the consent", PATIENCE, async || {
            let now = self.postroom.get(&path).await?;
            Ok((now["tokenState"] == "valid" && now["state"] == "ready").then_some(()))
        })
        .await?;
        Ok(1)
    }

    /// Kills Postroom a random moment after an answer of the provider, and starts it again.
    async fn kill(&mut self, random: &mut u64, result: &mut TokenLoopResult) -> Result<()> {
        while self.relay.answers.try_recv().is_ok() {}
        self.exchange().await?;
        let end = Instant::now() + PATIENCE;
        while tokio::time::timeout(HANG_UP, self.relay.answers.recv()).await.is_err() {
            ensure!(Instant::now() < end, "nobody asked for a token");
            // An answer that was lost before may be noticed only now.
            for account in &self.accounts {
                result.consents += self.look(account, OnFailure::Consent).await?;
                self.mail.dovecot.hang_up(&account.address)?;
            }
        }
        let longest = u64::try_from(AFTER_ANSWER.as_micros())?;
        let moment = Duration::from_micros(random_next(random) % longest);
        std::thread::sleep(moment);
        self.postroom.kill()?;
        self.postroom.restart()?;
        result.consents += self.flow(OnFailure::Consent).await?;
        Ok(())
    }

    /// Everything was received and sent once.
    async fn prove(&self, result: &mut TokenLoopResult) -> Result<()> {
        let mut sent = vec![];
        for account in &self.accounts {
            await_all(&self.postroom, &account.folder, account.delivered).await?;
            let want = self.mail.dovecot.digests(&account.address, "INBOX")?;
            ensure!(want.len() == account.delivered, "the server holds {}", want.len());
            prove(&self.postroom, &account.folder, &want).await?;
            result.received += want.len();
            sent.extend(account.sent.iter().cloned());
        }
        result.uncertain = self.mail.prove_sent(&self.postroom, &sent).await?;
        result.sent = sent.len() - result.uncertain;
        Ok(())
    }

    fn log(&self) -> String {
        let (postroom, dovecot) = (self.postroom.log(), self.mail.dovecot.log());
        format!("{postroom}\n{dovecot}\n{}", self.mail.postfix_log())
    }
}
