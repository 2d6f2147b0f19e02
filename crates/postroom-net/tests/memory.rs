//! Connections over a network in memory.

use postroom_net::Dialed;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Error;
use postroom_net::Network;
use postroom_net::Security;
use postroom_net::Trust;
use std::io;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

/// One server, which greets whoever connects.
#[derive(Debug)]
struct One;

impl Network for One {
    fn dial(&self, host: &str, port: u16) -> Dialed {
        let is_there = (host, port) == ("mail.test", 143);
        Box::pin(async move {
            if !is_there {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (client, mut server) = tokio::io::duplex(64);
            server.write_all(b"hello").await?;
            Ok(client)
        })
    }
}

fn endpoint(port: u16, security: Security) -> Endpoint {
    Endpoint { host: "mail.test".to_owned(), port, security }
}

#[tokio::test]
async fn a_network_that_is_handed_in_takes_the_place_of_tcp_and_has_no_tls() {
    let dialer = Dialer::new(&Trust::default()).unwrap().over(Arc::new(One));
    let plain = endpoint(143, Security::None);
    for dialer in [dialer.clone(), dialer.pinned(&[[7; 32]]).unwrap()] {
        let mut stream = dialer.connect(&plain).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
    }
    let refused = dialer.connect(&endpoint(25, Security::None)).await.unwrap_err();
    assert!(matches!(refused, Error::Connect { port: 25, .. }), "{refused}");
    let tls = dialer.connect(&endpoint(143, Security::Tls)).await.unwrap_err();
    assert!(matches!(tls, Error::Handshake { .. }), "{tls}");
}
