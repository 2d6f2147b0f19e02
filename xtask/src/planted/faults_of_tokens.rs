//! The planted faults of tokens of OAuth, as data.

use crate::planted::faults::IT;
use crate::planted::faults::LIB;
use crate::planted::faults::PlantedFault;
use crate::planted::faults::test;

/// The faults of tokens. A test must find each.
pub const PLANTED_OF_TOKENS: &[PlantedFault] = &[
    PlantedFault {
        name: "two questions for a token of an account run at the same time",
        file: "crates/postroom-engine/src/oauth_credentials.rs",
        sound: "Arc::clone(turns.entry((account, slot)).or_default())",
        faulty: "turns.clear();
        Arc::clone(turns.entry((account, slot)).or_default())",
        finder: test(
            "postroom-engine",
            IT,
            "both_servers_that_need_a_token_at_the_same_time_ask_for_one",
        ),
    },
    PlantedFault {
        name: "`refreshingSince` is not written before a token is asked for",
        file: "crates/postroom-engine/src/oauth_credentials.rs",
        sound: "self.note(found, TokenStep::Asking(self.now())).await?;",
        faulty: "let _ = TokenStep::Asking(self.now());",
        finder: test(
            "postroom-engine",
            IT,
            "a_replaced_refresh_token_whose_answer_was_lost_is_named",
        ),
    },
    PlantedFault {
        name: "an access token that a server refused is used again",
        file: "crates/postroom-engine/src/oauth_credentials.rs",
        sound: "unwrap_or_else(PoisonError::into_inner) = Some(mark(token));",
        faulty: "unwrap_or_else(PoisonError::into_inner) = Some(mark(&SecretString::default()));
        let _ = token;",
        finder: test(
            "postroom-engine",
            IT,
            "a_token_that_ends_before_its_time_costs_one_silent_question",
        ),
    },
    PlantedFault {
        name: "a provider is asked again before it wants to be",
        file: "crates/postroom-engine/src/token_known.rs",
        sound: "if left.is_zero() {",
        faulty: "if left.is_zero() || !reason.is_empty() {",
        finder: test(
            "postroom-engine",
            IT,
            "neither_server_asks_a_provider_before_it_wants_to_be_asked",
        ),
    },
    PlantedFault {
        name: "a question that a kill interrupted is asked again only near the token's end",
        file: "crates/postroom-engine/src/token_known.rs",
        sound: "None if found.is_interrupted() => false,",
        faulty: "None if found.is_interrupted() && chance < 0.0 => false,",
        finder: test(
            "postroom-engine",
            IT,
            "a_question_that_a_kill_interrupted_is_asked_again_at_once",
        ),
    },
    PlantedFault {
        name: "a refused refresh token is asked with again",
        file: "crates/postroom-engine/src/token_found.rs",
        sound: "said.filter(|_| version == Some(self.app.app.version))",
        faulty: "said.filter(|_| version.is_none())",
        finder: test(
            "postroom-engine",
            LIB,
            "a_refused_refresh_token_is_asked_with_once_until_somebody_consents_again",
        ),
    },
];
