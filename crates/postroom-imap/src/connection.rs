//! A connection to an IMAP server, as callers hold it. The socket belongs to a task of its own.
//!
//! Standards: RFC 3501 §6, RFC 2342, RFC 2971, RFC 4315, RFC 4731, RFC 4959, RFC 6154.

use crate::actor::Request;
use crate::actor::Requester;
use crate::actor::run;
use crate::answer::CommandResponses;
use crate::capabilities::Capabilities;
use crate::command::Command;
use crate::command::Mode;
use crate::encoder::NameForm;
use crate::error::Error;
use crate::fetch::Fetch;
use crate::items::FetchItems;
use crate::limits::ImapOptions;
use crate::mailbox::MailboxName;
use crate::newer_forms::NewerForm;
use crate::opening::LoginState;
use crate::opening::Opened;
use crate::opening::adopt;
use crate::opening::dial;
use crate::response::Namespaces;
use crate::response::Selected;
use crate::response::Status;
use crate::set::UidSet;
use crate::unsolicited::UnsolicitedLog;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use std::sync::Arc;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// How many reads the reader of a FETCH may be behind.
const DELIVERIES_AHEAD: usize = 2;

/// What a SEARCH found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchResult {
    /// The UIDs, ascending, each once.
    pub uids: Vec<u64>,
    /// How many numbers the server listed that are no UIDs: zero, or too large to be kept.
    pub unusable: u64,
    /// How many messages the mailbox has, if the server said it meanwhile.
    pub exists: Option<u32>,
}

/// A connection. Every method waits only within the deadlines of its [`ImapOptions`]. Dropping a
/// method's future leaves the connection usable. Dropping the connection closes it.
#[derive(Debug)]
pub struct ImapConnection {
    requests: mpsc::Sender<Box<Request>>,
    _alive: oneshot::Sender<()>,
    pub(crate) unsolicited: UnsolicitedLog,
    /// The mailbox that is open.
    pub(crate) selected: Option<MailboxName>,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) options: Arc<ImapOptions>,
    pub(crate) login: LoginState,
}

impl ImapConnection {
    /// Connects, secures the connection as the endpoint demands, and asks for the capabilities.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::StartTls`] if the connection cannot be secured, or a server
    /// that does not greet.
    pub async fn open(
        dialer: &Dialer,
        endpoint: &Endpoint,
        options: &ImapOptions,
    ) -> Result<Self, Error> {
        let options = Arc::new(options.clone());
        Ok(Self::start(dial(dialer, endpoint, Arc::clone(&options)).await?, options))
    }

    /// As [`Self::open`], on a stream that is connected to a server already, such as a pipe.
    ///
    /// # Errors
    ///
    /// A server that does not greet.
    pub async fn over<S>(stream: S, options: &ImapOptions) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let options = Arc::new(options.clone());
        Ok(Self::start(adopt(stream, Arc::clone(&options)).await?, options))
    }

    fn start<S>(opened: Opened<S>, options: Arc<ImapOptions>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Opened { mut wire, login } = opened;
        let capabilities = Arc::clone(wire.session().capabilities());
        let unsolicited = wire.unsolicited_log().clone();
        let (requests, receiver) = mpsc::channel(1);
        let (alive, handle) = oneshot::channel();
        tokio::spawn(run(wire, receiver, handle));
        let selected = None;
        Self { requests, _alive: alive, unsolicited, selected, capabilities, options, login }
    }

    /// What the server can do.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The namespaces. `None`: the server does not support NAMESPACE.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub async fn namespace(&mut self) -> Result<Option<Namespaces>, Error> {
        if !self.capabilities.has("NAMESPACE") {
            return Ok(None);
        }
        match self.ask(Command::namespace()).await {
            Ok(answer) => Ok(answer.namespaces),
            Err(Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a mailbox. Commands on messages are about this mailbox until another one is opened.
    /// Where the server refuses EXAMINE, SELECT opens it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], and then no mailbox is open; or what ended the connection.
    pub async fn select(&mut self, mailbox: &MailboxName, mode: Mode) -> Result<Selected, Error> {
        self.selected = None;
        let (mut selected, mode) = match mode {
            Mode::Select => (self.select_as(mailbox, mode).await?, mode),
            Mode::Examine => self.select_to_read(mailbox).await?,
        };
        self.selected = Some(mailbox.clone());
        selected.read_only |= mode == Mode::Examine;
        selected.is_open_for_changes = mode == Mode::Select;
        if selected.uid_validity.is_none() || selected.exists.is_none() {
            // QUIRK: some servers say zero or nothing. STATUS may tell it.
            match self.status(mailbox).await {
                Ok(status) => {
                    selected.uid_validity = selected.uid_validity.or(status.uid_validity);
                    selected.exists = selected.exists.or(status.messages);
                }
                Err(error) if error.leaves_connection_open() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(selected)
    }

    /// Opens a mailbox that is only to be read. Gives by which command it is open.
    ///
    /// QUIRK: some servers know SELECT only, and some let EXAMINE open no mailbox. The command that
    /// works is the first on the next connections.
    async fn select_to_read(&mut self, mailbox: &MailboxName) -> Result<(Selected, Mode), Error> {
        let forms = self.options.newer_forms.clone();
        let mut modes = [Mode::Examine, Mode::Select];
        if !forms.allow(NewerForm::Examine) {
            modes.reverse();
        }
        let [mode, other] = modes;
        let first = self.select_as(mailbox, mode).await;
        if mode == Mode::Examine {
            forms.answered(NewerForm::Examine, &first);
        }
        let refused = match first {
            Err(error) if error.may_open_otherwise() => error,
            result => return Ok((result?, mode)),
        };
        match self.select_as(mailbox, other).await {
            // It cannot be opened at all.
            Err(error) if error.leaves_connection_open() => Err(refused),
            second if other == Mode::Examine => {
                forms.answered(NewerForm::Examine, &second);
                Ok((second?, other))
            }
            second => {
                let selected = second?;
                forms.gave_way(NewerForm::Examine);
                Ok((selected, other))
            }
        }
    }

    /// Opens a mailbox. Tries each form of its name until the server accepts one.
    async fn select_as(&mut self, mailbox: &MailboxName, mode: Mode) -> Result<Selected, Error> {
        let name = mailbox.as_bytes();
        let first = match self.select_form(name, mode, NameForm::Safe).await {
            Err(error) if error.is_of_the_form() => error,
            result => return result,
        };
        if NameForm::Quoted.differs(name) {
            match self.select_form(name, mode, NameForm::Quoted).await {
                Err(error) if error.is_of_the_form() => {}
                result => return result,
            }
        }
        if *mailbox == MailboxName::inbox()
            && let Some(spelling) = self.inbox_spelling().await?
        {
            return self.select_form(&spelling, mode, NameForm::Safe).await;
        }
        Err(first)
    }

    async fn select_form(
        &mut self,
        name: &[u8],
        mode: Mode,
        form: NameForm,
    ) -> Result<Selected, Error> {
        let command = Command::select(&self.capabilities, name, mode, form)?;
        let refused = match self.ask(command).await {
            Err(error) if error.asks_for_id() => error,
            result => return Ok(result?.selected),
        };
        if !self.identifies_for(&refused).await? {
            return Err(refused);
        }
        let command = Command::select(&self.capabilities, name, mode, form)?;
        Ok(self.ask(command).await?.selected)
    }

    /// How a server spells INBOX that accepts one spelling only. `None`: `INBOX`, or it is not
    /// listed.
    async fn inbox_spelling(&mut self) -> Result<Option<Box<[u8]>>, Error> {
        match self.ask(Command::list("*", false)).await {
            Ok(answer) => Ok(answer.listed.into_iter().find_map(|listed| listed.inbox_spelling)),
            Err(error) if error.leaves_connection_open() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The counts of a mailbox, which need not be open.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], or what ended the connection.
    pub async fn status(&mut self, mailbox: &MailboxName) -> Result<Status, Error> {
        let command = Command::status(&self.capabilities, mailbox)?;
        Ok(self.ask(command).await?.status(mailbox))
    }

    /// The UIDs of the messages that match, ascending. The criteria are those of RFC 3501 §6.4.4,
    /// in printable ASCII; [`crate::quoted`] makes a string of any text. The list is empty if the
    /// server does not say what it found, not even in the oldest form of SEARCH.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`], [`Error::Refused`], or what ended the connection.
    pub async fn uid_search(&mut self, criteria: &str) -> Result<Vec<u64>, Error> {
        Ok(self.search(criteria).await?.uids)
    }

    /// As [`Self::uid_search`], with the other things that the answer says about the list.
    ///
    /// # Errors
    ///
    /// As [`Self::uid_search`].
    pub async fn search(&mut self, criteria: &str) -> Result<SearchResult, Error> {
        let compact = (self.capabilities.has("ESEARCH") || self.capabilities.has("IMAP4REV2"))
            && self.options.newer_forms.allow(NewerForm::ExtendedSearch);
        let command = Command::uid_search(criteria, compact)?;
        let newer = compact.then_some(NewerForm::ExtendedSearch);
        let answer = match self.ask_newer(newer, command).await {
            Err(error) if compact && error.is_of_the_form() => {
                self.ask(Command::uid_search(criteria, false)?).await?
            }
            Ok(answer) if compact && !answer.has_found => {
                self.ask(Command::uid_search(criteria, false)?).await?
            }
            result => result?,
        };
        let (unusable, exists) = (answer.unusable, answer.selected.exists);
        Ok(SearchResult { unusable, exists, uids: answer.sorted_uids() })
    }

    /// Begins to fetch. The server silently skips messages that do not exist.
    ///
    /// The set is sent in one command. Use [`UidSet::split`] to keep the command short enough for
    /// servers.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] for an empty set, or what ended the connection.
    pub async fn uid_fetch(&mut self, set: &UidSet, items: FetchItems) -> Result<Fetch<'_>, Error> {
        self.begin_fetch(Command::uid_fetch(set, items)?).await
    }

    /// Begins to fetch from all messages of the mailbox. This is another way to list them.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub async fn uid_fetch_all(&mut self, items: FetchItems) -> Result<Fetch<'_>, Error> {
        self.begin_fetch(Command::uid_fetch_all(items)).await
    }

    /// Begins to fetch one message by its sequence number, for servers that do not give it by its
    /// UID. If messages were expunged meanwhile, the result has another UID.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub async fn fetch(
        &mut self,
        sequence: u32,
        uid: u64,
        items: FetchItems,
    ) -> Result<Fetch<'_>, Error> {
        self.begin_fetch(Command::fetch(sequence, uid, items)).await
    }

    async fn begin_fetch(&mut self, command: Command) -> Result<Fetch<'_>, Error> {
        let (sender, receiver) = mpsc::channel(DELIVERIES_AHEAD);
        self.request(command, Requester::Events(sender)).await?;
        Ok(Fetch::new(receiver))
    }

    /// Sends NOOP, which shows whether the connection is alive.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], or what ended the connection.
    pub async fn noop(&mut self) -> Result<(), Error> {
        self.ask(Command::noop()).await.map(drop)
    }

    /// Sends LOGOUT and closes the connection.
    ///
    /// # Errors
    ///
    /// What ended the connection before the server could answer.
    pub async fn logout(mut self) -> Result<(), Error> {
        self.ask(Command::logout()).await.map(drop)
    }

    pub(crate) async fn ask(&mut self, command: Command) -> Result<CommandResponses, Error> {
        let (sender, receiver) = oneshot::channel();
        self.request(command, Requester::Answer(sender)).await?;
        let answer = receiver.await.map_err(|_| Error::Ended)??;
        self.capabilities = Arc::clone(&answer.capabilities);
        Ok(answer)
    }

    /// Sends a command. If it is in a newer form, it is noted whether that ends the connection.
    pub(crate) async fn ask_newer(
        &mut self,
        form: Option<NewerForm>,
        command: Command,
    ) -> Result<CommandResponses, Error> {
        let result = self.ask(command).await;
        if let Some(form) = form {
            self.options.newer_forms.answered(form, &result);
        }
        result
    }

    pub(crate) async fn request(
        &mut self,
        command: Command,
        reply: Requester,
    ) -> Result<(), Error> {
        let request = Box::new(Request { command, reply });
        self.requests.send(request).await.map_err(|_| Error::Ended)
    }
}
