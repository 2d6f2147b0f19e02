//! How a sandbox is to be.

use crate::certificate::Certificate;
use crate::clock;
use crate::clock::NowMs;
use crate::state::CapabilityChanges;
use std::net::IpAddr;
use std::net::Ipv4Addr;

/// How a sandbox is to be. The default: on 127.0.0.1, free ports, no user, everything offered.
#[derive(Clone)]
pub struct SandboxConfig {
    /// The address to listen on.
    pub listen: IpAddr,
    /// The port of IMAP, plain and STARTTLS; 0 means any that is free, as for the next three.
    pub imap_port: u16,
    /// The port of IMAP under TLS from the first byte.
    pub imaps_port: u16,
    /// The port of SMTP, plain and STARTTLS.
    pub smtp_port: u16,
    /// The port of SMTP under TLS from the first byte.
    pub smtps_port: u16,
    /// Whether the plain ports offer STARTTLS.
    pub tls: bool,
    /// The certificate that is shown.
    pub certificate: Certificate,
    /// Addresses, which are the names to log in with, and passwords.
    pub users: Vec<(String, String)>,
    /// Whether passwords are only taken under TLS (`LOGINDISABLED`, no AUTH).
    pub login_needs_tls: bool,
    /// Whether MAIL is only taken after AUTH.
    pub mail_needs_login: bool,
    /// What the IMAP server lacks or has in addition.
    pub imap_capabilities: CapabilityChanges,
    /// What the SMTP server lacks or has in addition.
    pub smtp_capabilities: CapabilityChanges,
    /// What stands between the levels of mailbox names.
    pub delimiter: char,
    /// Messages above this many bytes are refused, by APPEND and by SMTP. Default 64 MiB.
    pub message_bytes_max: u64,
    /// UIDVALIDITY of the first mailbox; each further one has the next number. Default:
    /// 1,700,000,001.
    pub uid_validity_first: u32,
    /// The time of day, for INTERNALDATE. Default: the machine's.
    pub now_ms: NowMs,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            imap_port: 0,
            imaps_port: 0,
            smtp_port: 0,
            smtps_port: 0,
            tls: true,
            certificate: Certificate::Good,
            users: Vec::new(),
            login_needs_tls: false,
            mail_needs_login: false,
            imap_capabilities: CapabilityChanges::default(),
            smtp_capabilities: CapabilityChanges::default(),
            delimiter: '/',
            message_bytes_max: 64 * 1024 * 1024,
            uid_validity_first: 1_700_000_001,
            now_ms: clock::system(),
        }
    }
}
