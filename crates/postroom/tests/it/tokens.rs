//! Access tokens at real servers: replaced while mail flows, and when Postroom is killed between
//! the answer of the provider and the commit.

use postroom_testkit::Need;
use postroom_testkit::TokenLoop;
use postroom_testkit::TokenMechanism;
use postroom_testkit::on_both;
use postroom_testkit::require;
use std::path::Path;
use std::time::Duration;

fn plan() -> TokenLoop {
    TokenLoop {
        accounts: 2,
        refreshes: 12,
        kills: 5,
        grace: Duration::ZERO,
        mechanism: TokenMechanism::XOAuth2,
        seed: 1,
        database: None,
    }
}

#[on_both(flavor = "multi_thread")]
async fn tokens_are_replaced_while_mail_flows_and_a_lost_answer_is_named() {
    if !require(&[Need::Dovecot, Need::Postfix]) {
        return;
    }
    let result = plan().run(Path::new(env!("CARGO_BIN_EXE_postroom"))).await.unwrap();
    assert!(result.refreshes >= 12 && result.sent > result.uncertain, "{result:?}");
    assert!(result.consents > 0 && result.taken_again == 0, "{result:?}");
}

#[on_both(flavor = "multi_thread")]
async fn a_provider_that_takes_the_former_token_for_a_while_makes_a_kill_harmless() {
    if !require(&[Need::Dovecot, Need::Postfix]) {
        return;
    }
    let grace = Duration::from_secs(120);
    let plan = TokenLoop { refreshes: 4, grace, mechanism: TokenMechanism::OAuthBearer, ..plan() };
    let result = plan.run(Path::new(env!("CARGO_BIN_EXE_postroom"))).await.unwrap();
    assert!(result.consents == 0 && result.taken_again > 0, "{result:?}");
}
