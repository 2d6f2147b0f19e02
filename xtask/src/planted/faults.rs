//! The faults that are planted, as data.

/// A fault that is planted into a copy of the sources.
pub struct PlantedFault {
    /// What is wrong with it.
    pub name: &'static str,
    /// The file.
    pub file: &'static str,
    /// The sound text. The file has it exactly once.
    pub sound: &'static str,
    /// The text that is planted instead.
    pub faulty: &'static str,
    /// What must find it.
    pub finder: Finder,
}

/// What must find a planted fault.
#[derive(Clone, Copy)]
pub enum Finder {
    /// Some seed of the simulator fails.
    Simulator,
    /// A test fails.
    Test {
        /// The package that has the test.
        package: &'static str,
        /// The test target, as cargo's arguments name it.
        target: &'static [&'static str],
        /// The name of the test, or a part that no other test has.
        test: &'static str,
    },
}

pub(super) const LIB: &[&str] = &["--lib"];
pub(super) const IT: &[&str] = &["--test", "it"];
const REST: &[&str] = &["--test", "rest"];

pub(super) const fn test(
    package: &'static str,
    target: &'static [&'static str],
    test: &'static str,
) -> Finder {
    Finder::Test { package, target, test }
}

/// The faults for the simulator break one promise each: a write that is not durable, a wait that is
/// left out, an identity that is not checked.
///
/// The faults for tests are those that no test found at some time.
pub const PLANTED: &[PlantedFault] = &[
    PlantedFault {
        name: "`dot-sent` is not written before the final dot",
        file: "crates/postroom-engine/src/send/transmit.rs",
        sound: "match store
        .delivery_dot_sent(message, attempt, &accepted(replies))
        .await
    {",
        faulty: "match {
            let _ = (&store, message, attempt, accepted(replies));
            Ok::<_, postroom_store::Error>(postroom_store::BeforeDot::Send)
        } {",
        finder: Finder::Simulator,
    },
    PlantedFault {
        name: "nothing waits before it is tried again",
        file: "crates/postroom-engine/src/backoff.rs",
        sound: "first.saturating_mul(1 << doublings).min(longest)",
        faulty: "first.saturating_mul(1 << doublings).min(longest).min(Duration::from_millis(1))",
        finder: Finder::Simulator,
    },
    PlantedFault {
        name: "messages are deleted at the server without a look at which they are",
        file: "crates/postroom-engine/src/receive/actions.rs",
        sound: "let look = check.look(keys, Care::All).await?;",
        faulty: "let mut look = check.look(&[], Care::All).await?;
        look.same = keys.to_vec();",
        finder: Finder::Simulator,
    },
    PlantedFault {
        name: "a stored message under a UID that was never fetched counts as another one",
        file: "crates/postroom-engine/src/receive/repeats.rs",
        sound: "repeats.push(Repeat { key, hash, earlier });",
        faulty: "repeats.truncate(usize::from(earlier.is_empty() && hash.is_empty()));",
        finder: Finder::Simulator,
    },
    PlantedFault {
        name: "a stored message under a UID below UIDNEXT counts as a new one",
        file: "crates/postroom-engine/src/receive/news.rs",
        sound: "is_below && !was_listed && self.listing.is_whole()",
        faulty: "is_below && !was_listed && self.listing.keys.is_empty()",
        finder: Finder::Simulator,
    },
    PlantedFault {
        name: "an action is carried out that the folder no longer demands",
        file: "crates/postroom-engine/src/receive/actions.rs",
        sound: "ServerAction::Delete => demanded(folder) == Some(ServerAction::Delete),",
        faulty: "ServerAction::Delete => true,",
        finder: test(
            "postroom-engine",
            LIB,
            "an_action_is_dropped_once_the_folder_does_not_demand_it",
        ),
    },
    PlantedFault {
        name: "a new UIDVALIDITY means nothing",
        file: "crates/postroom-engine/src/receive/identity.rs",
        sound: "if origin.uid_validity != Some(opened.uid_validity) {",
        faulty: "if origin.uid_validity.is_none() {",
        finder: test(
            "postroom-engine",
            LIB,
            "a_life_ends_with_another_server_another_uidvalidity_or_a_lower_uidnext",
        ),
    },
    PlantedFault {
        name: "a missed message counts as progress although it was not noted",
        file: "crates/postroom-engine/src/receive.rs",
        sound: "Err(error) => {
            known.look_anew();",
        faulty: "Err(error) => {
            known.has_progressed |= has_missed;
            known.look_anew();",
        finder: test(
            "postroom-engine",
            IT,
            "a_message_that_is_not_noted_does_not_bring_a_connection_every_few_seconds",
        ),
    },
    PlantedFault {
        name: "every row of the feed is lost",
        file: "crates/postroom-store/src/feed.rs",
        sound: "format!(\"{INSERT} VALUES ({})\", self.row_values())",
        faulty: "format!(\"{INSERT} SELECT {} WHERE 1 = 0\", self.row_values())",
        finder: test("postroom-store", LIB, "feed_trim::tests::the_newest_rows_stay"),
    },
    PlantedFault {
        name: "no row of the feed is kept",
        file: "crates/postroom-store/src/feed_trim.rs",
        sound: "let mut surplus = count - retained;",
        faulty: "let mut surplus = count - retained.min(0);",
        finder: test("postroom-store", LIB, "feed_trim::tests::the_newest_rows_stay"),
    },
    PlantedFault {
        name: "the `replyTo` of a client is not sent",
        file: "crates/postroom-engine/src/send/prepare.rs",
        sound: "message.texts(names::REPLY_TO).map(bare).collect();",
        faulty: "message.texts(names::REPLY_TO).map(bare).take(0).collect();",
        finder: test("postroom", IT, "answers_go_where_the_client_says"),
    },
    PlantedFault {
        name: "delays do not double",
        file: "crates/postroom-engine/src/backoff.rs",
        sound: "first.saturating_mul(1 << doublings).min(longest)",
        faulty: "first.saturating_mul(1 << (doublings - doublings)).min(longest)",
        finder: test("postroom-engine", LIB, "backoff::tests::delays_double_up_to_the_longest"),
    },
    PlantedFault {
        name: "a delivery that is given back counts as tried",
        file: "crates/postroom-store/src/delivery.rs",
        sound: "\\\"attempts\\\" = \\\"attempts\\\" - 1",
        faulty: "\\\"attempts\\\" = \\\"attempts\\\"",
        finder: test(
            "postroom-store",
            &["--test", "store"],
            "a_delivery_that_is_given_back_has_not_been_tried",
        ),
    },
    PlantedFault {
        name: "`inReplyTo` is not derived again by REDECOMPOSE",
        file: "crates/postroom-engine/src/derive.rs",
        sound: "    names::IN_REPLY_TO,\n    names::REFERENCES,",
        faulty: "    names::REFERENCES,",
        finder: test("postroom-engine", LIB, "each_value_that_is_derived_is_named_as_a_property"),
    },
    PlantedFault {
        name: "a deleted folder leaves its ledger behind",
        file: "crates/postroom-store/src/deletion.rs",
        sound: "builtin::FOLDERS => Ok(ledger_gone(FolderId::of(id)).into()),",
        faulty: "builtin::FOLDERS => Ok(vec![]),",
        finder: test(
            "postroom-store",
            &["--test", "races"],
            "a_uid_is_recorded_once_and_a_ledger_ends_with_its_folder",
        ),
    },
    PlantedFault {
        name: "a message is deleted at the server although the client has withdrawn the option",
        file: "crates/postroom-engine/src/receive/actions.rs",
        sound: "if !is_still_demanded(self.at.folder, action) {",
        faulty: "if !is_still_demanded(self.at.folder, action) && keys.is_empty() {",
        finder: test("postroom-engine", LIB, "an_action_that_was_withdrawn_is_not_carried_out"),
    },
    PlantedFault {
        name: "keys of `Idempotency-Key` are kept for ever",
        file: "crates/postroom-store/src/once.rs",
        sound: "WHERE \\\"at\\\" < $1\"",
        faulty: "WHERE \\\"at\\\" < $1 AND 1 = 0\"",
        finder: test(
            "postroom-store",
            LIB,
            "once::tests::a_key_is_kept_for_a_day_and_not_for_ever",
        ),
    },
    PlantedFault {
        name: "an object that a row names is removed as one that is left",
        file: "crates/postroom-store/src/object.rs",
        sound: "!named.contains(name) && has_ended(name)",
        faulty: "has_ended(name)",
        finder: test(
            "postroom-store",
            LIB,
            "object::tests::the_sweep_takes_only_what_no_row_names_and_whose_writer_has_ended",
        ),
    },
    PlantedFault {
        name: "a copy of a database removes the objects of the database",
        file: "crates/postroom-store/src/object.rs",
        sound: "names.iter().filter(|name| name.starts_with(&own_start))",
        faulty: "names.iter().filter(|name| !name.starts_with(\"/\") || own_start.is_empty())",
        finder: test(
            "postroom-store",
            LIB,
            "object::tests::a_restored_copy_removes_nothing_of_its_source",
        ),
    },
    PlantedFault {
        name: "ids of blobs begin before those that an earlier version took from its clock",
        file: "crates/postroom-store/src/lease.rs",
        sound: "(last / CHUNKS_MAX).max(now_ms)",
        faulty: "(last / CHUNKS_MAX).max(now_ms.min(0))",
        finder: test(
            "postroom-store",
            LIB,
            "leading::tests::two_owners_never_give_out_the_same_id_of_a_blob",
        ),
    },
    PlantedFault {
        name: "a deleted account leaves its deliveries behind",
        file: "crates/postroom-store/src/deletion.rs",
        sound: "DeliveryStep::Leave.taken(\"\\\"account\\\" = $1\")",
        faulty: "DeliveryStep::Leave.taken(\"\\\"account\\\" = $1 AND 1 = 0\")",
        finder: test("postroom-store", &["--test", "races"], "a_queue_ends_with_its_account"),
    },
    PlantedFault {
        name: "a job deletes an entity that was made again under its id",
        file: "crates/postroom-store/src/entity.rs",
        sound: "if brings_ids {",
        faulty: "if brings_ids && entities.is_empty() {",
        finder: test(
            "postroom-api",
            REST,
            "an_entity_that_is_made_again_under_its_id_was_not_confirmed",
        ),
    },
    PlantedFault {
        name: "CLEAR deletes also if more was confirmed than there is",
        file: "crates/postroom-api/src/bulk.rs",
        sound: "count > 0 && self.confirm != Some(count)",
        faulty: "count > 0 && self.confirm.is_none_or(|given| given < count)",
        finder: test("postroom-api", REST, "a_collection_is_emptied_by_who_knows_how_much_that_is"),
    },
    PlantedFault {
        name: "one of many entities is changed although it no longer matches",
        file: "crates/postroom-engine/src/bulk.rs",
        sound: "store.entity_matching(place, aim.filter.as_ref())",
        faulty: "store.entity_matching(place, aim.filter.as_ref().filter(|_| false))",
        finder: test("postroom-api", REST, "an_entity_is_taken_by_one_of_several_workers"),
    },
    PlantedFault {
        name: "what a compressed body becomes is not bounded",
        file: "crates/postroom-api/src/body.rs",
        sound: "if self.read_bytes > self.bytes_max {",
        faulty: "if self.read_bytes > u64::MAX {",
        finder: test("postroom-api", REST, "a_small_body_that_becomes_a_large_one_is_too_large"),
    },
    PlantedFault {
        name: "a range of the plain bytes is joined to compressed ones",
        file: "crates/postroom-api/src/compress.rs",
        sound: "if headers.contains_key(header::RANGE) {",
        faulty: "if headers.contains_key(header::HOST) && false {",
        finder: test("postroom-api", REST, "ranges_are_those_of_the_file_itself"),
    },
    PlantedFault {
        name: "guesses lock out a token where it was accepted",
        file: "crates/postroom-api/src/lockout.rs",
        sound: "suspicion.locked_for(now).filter(|_| !is_accepted)",
        faulty: "suspicion.locked_for(now).filter(|_| !is_accepted || true)",
        finder: test("postroom-api", REST, "the_rest_of_a_token_is_not_guessed"),
    },
    PlantedFault {
        name: "an answer of HTTP/2 that nobody reads is kept",
        file: "crates/postroom-api/src/answering.rs",
        sound: "if self.answering.handed_over().values().any(of_answers) {",
        faulty: "if self.answering.handed_over().values().all(of_answers) && false {",
        finder: test(
            "postroom-api",
            REST,
            "who_leaves_an_answer_of_http_2_unread_loses_the_connection",
        ),
    },
    PlantedFault {
        name: "a claim takes what another worker has claimed since it was looked for",
        file: "crates/postroom-store/src/work_claim.rs",
        sound: "WHERE \\\"work claim\\\".\\\"until\\\" <= {now}",
        faulty: "WHERE \\\"work claim\\\".\\\"until\\\" <= {now} OR 1=1",
        finder: test(
            "postroom-store",
            &["--test", "work_claims"],
            "sixty_four_workers_get_each_of_ten_thousand_tasks_once",
        ),
    },
    PlantedFault {
        name: "work counts although another worker has the entity",
        file: "crates/postroom-store/src/claim_row.rs",
        sound: "AND \\\"domain\\\" = $3 AND \\\"token\\\" = $4",
        faulty: "AND \\\"domain\\\" = $3 AND $4 = $4",
        finder: test(
            "postroom-api",
            REST,
            "an_expired_claim_is_lost_when_another_worker_has_the_entity",
        ),
    },
    PlantedFault {
        name: "a message that was changed while it was composed waits for the next look",
        file: "crates/postroom-engine/src/send/prepare.rs",
        sound: "Ok(PrepareEnd::Overtaken) => has_more = true,",
        faulty: "Ok(PrepareEnd::Overtaken) => {}",
        finder: test(
            "postroom-engine",
            LIB,
            "a_message_that_is_changed_while_it_is_composed_is_composed_again_at_once",
        ),
    },
    PlantedFault {
        name: "a clock that jumps is believed",
        file: "crates/postroom-store/src/believed_time.rs",
        sound: "self.at_ms = reached_ms;",
        faulty: "self.at_ms = clock_ms;",
        finder: test(
            "postroom-store",
            LIB,
            "believed_time::tests::a_clock_that_jumps_while_postroom_runs_is_not_believed",
        ),
    },
];
