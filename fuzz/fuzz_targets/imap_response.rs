//! Responses of an IMAP server: whatever it says, a client gets answers or errors, and ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_imap::ImapConnection;
use postroom_imap::FetchItems;
use postroom_imap::MailboxName;
use postroom_imap::Mode;
use postroom_imap::ImapOptions;
use postroom_imap::UidSet;
use tokio::io::AsyncWriteExt;

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let (client, mut server) = tokio::io::duplex(bytes.len() + 4096);
        let greeting = b"* PREAUTH [CAPABILITY IMAP4rev1 ESEARCH UIDPLUS] hi\r\n";
        server.write_all(greeting).await.expect("room");
        server.write_all(bytes).await.expect("room");
        server.shutdown().await.expect("an open pipe");
        let Ok(mut connection) = ImapConnection::over(client, &ImapOptions::default()).await else {
            return;
        };
        let _ = connection.list().await;
        let _ = connection.select(&MailboxName::inbox(), Mode::Examine).await;
        let _ = connection.uid_search("ALL").await;
        let set = UidSet::from_range(1..=9);
        if let Ok(mut fetch) = connection.uid_fetch(&set, FetchItems::Message).await {
            while let Ok(Some(_)) = fetch.next().await {}
        }
    });
});
