//! A DNS server on loopback that knows what it is told, over UDP and TCP.
//!
//! Standards: RFC 1035 §4 (messages, §4.2.2: by TCP), RFC 2782 (SRV).

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::task::JoinSet;

const HEADER_BYTES: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_MX: u16 = 15;
const TYPE_SRV: u16 = 33;
const CLASS_IN: u16 = 1;
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
/// How many ports are tried that are free by UDP.
const PORTS_TRIED_MAX: usize = 20;
/// An answer to this question.
const IS_ANSWER: u8 = 0x84;

/// What identifies records.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RecordKey {
    name: String,
    of: u16,
}

#[derive(Debug, Default)]
struct KnownZone {
    records: HashMap<RecordKey, Vec<Vec<u8>>>,
    asked: Vec<String>,
    asked_by_udp: usize,
    fails: bool,
    is_silent: bool,
}

/// A DNS server on loopback, as long as this is kept.
#[derive(Debug)]
pub struct DnsServer {
    /// Where it listens.
    pub address: SocketAddr,
    zone: Arc<Mutex<KnownZone>>,
    tasks: [AbortHandle; 2],
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl DnsServer {
    /// Starts one without records, on a free port.
    ///
    /// # Errors
    ///
    /// There is none.
    pub async fn start() -> io::Result<Self> {
        let DnsSockets { udp, tcp } = DnsSockets::bind().await?;
        let address = udp.local_addr()?;
        let zone = Arc::new(Mutex::new(KnownZone::default()));
        let (of_udp, of_tcp) = (Arc::clone(&zone), Arc::clone(&zone));
        let by_udp = tokio::spawn(async move {
            let mut question = [0; 1500];
            while let Ok((length, from)) = udp.recv_from(&mut question).await {
                let answer = question.get(..length).and_then(|it| {
                    let mut zone = lock(&of_udp);
                    zone.asked_by_udp += 1;
                    zone.answer(it)
                });
                if let Some(answer) = answer
                    && udp.send_to(&answer, from).await.is_err()
                {
                    break;
                }
            }
        });
        let by_tcp = tokio::spawn(async move {
            let mut all = JoinSet::new();
            while let Ok((stream, _)) = tcp.accept().await {
                let zone = Arc::clone(&of_tcp);
                // The other side may go away at any time.
                all.spawn(async move { drop(answer_by_tcp(stream, &zone).await) });
                while all.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, zone, tasks: [by_udp.abort_handle(), by_tcp.abort_handle()] })
    }

    /// A host has this address.
    pub fn host(&self, name: &str, address: Ipv4Addr) {
        self.add(name, TYPE_A, address.octets().to_vec());
    }

    /// A domain has this MX record.
    pub fn mx(&self, domain: &str, preference: u16, exchange: &str) {
        self.add(domain, TYPE_MX, [&preference.to_be_bytes()[..], &labels(exchange)].concat());
    }

    /// A service of a domain has this SRV record. The numbers are priority, weight and port.
    pub fn srv(&self, name: &str, numbers: [u16; 3], target: &str) {
        let numbers = numbers.map(u16::to_be_bytes).concat();
        self.add(name, TYPE_SRV, [numbers, labels(target)].concat());
    }

    /// From now on each question is answered with a failure of the server.
    pub fn fail(&self) {
        lock(&self.zone).fails = true;
    }

    /// From now on no question is answered.
    pub fn fall_silent(&self) {
        lock(&self.zone).is_silent = true;
    }

    /// The names that were asked for so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.zone).asked.clone()
    }

    /// How many questions came by UDP.
    #[must_use]
    pub fn asked_by_udp_count(&self) -> usize {
        lock(&self.zone).asked_by_udp
    }

    fn add(&self, name: &str, of: u16, data: Vec<u8>) {
        let key = RecordKey { name: name.to_ascii_lowercase(), of };
        lock(&self.zone).records.entry(key).or_default().push(data);
    }
}

/// The two sockets of a port.
struct DnsSockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl DnsSockets {
    async fn bind() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PORTS_TRIED_MAX {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            match TcpListener::bind(udp.local_addr()?).await {
                Ok(tcp) => return Ok(Self { udp, tcp }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Answers each question of a connection. Each message has its length before it.
async fn answer_by_tcp(mut stream: TcpStream, zone: &Mutex<KnownZone>) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await?;
        let answer = lock(zone).answer(&question);
        if let Some(answer) = answer {
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await?;
        }
    }
}

fn lock(zone: &Mutex<KnownZone>) -> MutexGuard<'_, KnownZone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KnownZone {
    /// The answer to a message. `None`: it is no question, or there is none.
    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let mut at = HEADER_BYTES;
        let mut parts = vec![];
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            parts.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let [of_high, of_low, ..] = *message.get(at..at + 4)? else { return None };
        let (name, of) = (parts.join("."), u16::from_be_bytes([of_high, of_low]));
        self.asked.push(name.clone());
        if self.is_silent {
            return None;
        }
        let is_known = self.records.keys().any(|key| key.name == name);
        let records = self.records.get(&RecordKey { name, of }).map_or(&[][..], Vec::as_slice);
        let code = match (self.fails, is_known) {
            (true, _) => SERVER_FAILURE,
            (false, true) => NO_ERROR,
            (false, false) => NO_SUCH_NAME,
        };
        let records = if self.fails { &[][..] } else { records };
        let [high, low, flags, ..] = *message else { return None };
        let count = u16::try_from(records.len()).ok()?.to_be_bytes();
        // The identifier, the flags, and the counts of questions and of answers.
        let mut answer = vec![high, low, IS_ANSWER | (flags & 1), code, 0, 1];
        answer.extend(count);
        answer.extend([0; 4]);
        answer.extend(message.get(HEADER_BYTES..at + 4)?);
        for data in records {
            // The name is that of the question.
            answer.extend([0xC0, 0x0C]);
            answer.extend(of.to_be_bytes());
            answer.extend(CLASS_IN.to_be_bytes());
            answer.extend(60_u32.to_be_bytes());
            answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}

/// A name as messages have it.
fn labels(name: &str) -> Vec<u8> {
    let mut bytes = vec![];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}
