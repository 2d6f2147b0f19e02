//! REST over TLS: how it is started, and a certificate that is renewed while it runs.

use crate::world::*;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use rcgen::CertifiedKey;
use serde_json::Value as Json;
use std::path::Path;
use std::path::PathBuf;
use tempfile::TempDir;

/// The files of a certificate.
struct Files(TempDir);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What a path answers, when a certificate is trusted.
    async fn get(&self, postroom: &Postroom, trusted: &str) -> Option<Json> {
        let ca = self.write("trusted.pem", trusted);
        let url = format!("{}/healthz", postroom.url());
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sS", "--http2", "--cacert", &ca, &url]);
        let output = curl.output().await.unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }
}

fn made() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let CertifiedKey { cert, signing_key } = made.unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

async fn logged(postroom: &Postroom, words: &str) {
    let found = async || Ok(postroom.log().contains(words).then_some(()));
    wait_until(words, PATIENCE, found).await.unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn a_certificate_is_renewed_while_it_runs() {
    let files = Files(tempfile::tempdir().unwrap());
    let ((former, former_key), (renewed, renewed_key)) = (made(), made());
    let certificate = files.write("cert.pem", &former);
    let key = files.write("key.pem", &former_key);
    let role = format!(r#"{{"name": "a", "roletype": "email", "tls_key": "{key}"}}"#);
    let config = files.write("config", &format!(r#"{{"roles": [{role}]}}"#));
    let arguments = ["--tls-cert", &certificate, "--config", &config].map(str::to_owned).to_vec();
    let options = PostroomOptions { arguments, ..PostroomOptions::default() };
    let postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap();
    assert!(postroom.url().starts_with("https://127.0.0.1:"), "{}", postroom.url());
    assert_eq!(files.get(&postroom, &former).await.unwrap()["status"], "ok");
    assert_eq!(files.get(&postroom, &renewed).await, None);
    files.write("cert.pem", &renewed);
    logged(&postroom, "the certificate of REST is the former one").await;
    logged(&postroom, "the certificate is of another key").await;
    assert_eq!(files.get(&postroom, &former).await.unwrap()["status"], "ok");
    files.write("key.pem", &renewed_key);
    postroom.signal("HUP").unwrap();
    logged(&postroom, "the new certificate of REST holds").await;
    assert_eq!(files.get(&postroom, &renewed).await.unwrap()["status"], "ok");
    assert_eq!(files.get(&postroom, &former).await, None);
    let log = postroom.log();
    assert_eq!(log.matches("is the former one").count(), 1, "{log}");
    assert!(!log.contains("PRIVATE"), "{log}");
}
