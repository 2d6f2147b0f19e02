//! The bridges of `examples/`: they and Postroom are killed while mailboxes load.

use postroom_testkit::BridgeLanguage;
use postroom_testkit::BridgeLoop;
use postroom_testkit::on_both;
use postroom_testkit::require;
use std::path::Path;

async fn each_message_becomes_one_ticket(language: BridgeLanguage) {
    if !require(&[language.need()]) {
        return;
    }
    let plan = BridgeLoop {
        language,
        mailboxes: 3,
        count: 110,
        arriving: 99,
        answered: 6,
        kills: 10,
        seed: 1,
        database: None,
    };
    let result = plan.run(Path::new(env!("CARGO_BIN_EXE_postroom"))).await.unwrap();
    assert!(result.postroom_kills > 2 && result.bridge_kills > 2, "{result:?}");
    assert!(result.kills_in_between > 2 && result.answered > result.uncertain, "{result:?}");
}

#[on_both(flavor = "multi_thread")]
async fn a_bridge_in_python_and_postroom_are_killed_and_each_message_becomes_one_ticket() {
    each_message_becomes_one_ticket(BridgeLanguage::Python).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_bridge_in_typescript_and_postroom_are_killed_and_each_message_becomes_one_ticket() {
    each_message_becomes_one_ticket(BridgeLanguage::TypeScript).await;
}
