//! Tables of address lists, well formed and not.

use super::*;
use crate::charset::Detection;
use crate::defect::Defects;
use proptest::prelude::*;

fn list(text: &[u8]) -> Vec<(String, String)> {
    let mut defects = Defects::default();
    let mut field = FieldText {
        fallback: None,
        words_left: 1_000,
        detection: Detection::default(),
        defects: &mut defects,
    };
    let text = field.unfolded(text);
    let found = parse(&text, &mut field);
    found.into_iter().map(|found| (found.name.unwrap_or_default(), found.address)).collect()
}

fn check(text: &str, want: &[(&str, &str)]) {
    let got = list(text.as_bytes());
    let got: Vec<_> = got.iter().map(|(name, address)| (name.as_str(), address.as_str())).collect();
    assert_eq!(got, want, "{text}");
}

#[test]
fn lists_are_read_as_they_arrive() {
    #[rustfmt::skip]
    let table: &[(&str, &[(&str, &str)])] = &[
        ("a@b.example",                               &[("", "a@b.example")]),
        ("Anna Bee <a@b.example>",                    &[("Anna Bee", "a@b.example")]),
        ("\"Bee, Anna\" <a@b.example>, c@d.example",  &[("Bee, Anna", "a@b.example"), ("", "c@d.example")]),
        ("a@b.example (Anna (the) Bee)",              &[("Anna (the) Bee", "a@b.example")]),
        ("<a@b.example> (Anna)",                      &[("Anna", "a@b.example")]),
        ("Anna (x) Bee <a@b.example>",                &[("Anna Bee", "a@b.example")]),
        ("=?utf-8?Q?Bee,_Anna?= <a@b.example>",       &[("Bee, Anna", "a@b.example")]),
        ("=?utf-8?Q?Bee, Anna?= <a@b.example>",       &[("Bee, Anna", "a@b.example")]),
        ("\"=?utf-8?Q?Bee=2C?= Anna\" <a@b.example>", &[("Bee, Anna", "a@b.example")]),
        ("=?utf-8?Q?A?=\r\n =?utf-8?Q?nna?= <a@b.example>", &[("Anna", "a@b.example")]),
        ("team: a@b.example, C <c@d.example>;, e@f.example",
            &[("", "a@b.example"), ("C", "c@d.example"), ("", "e@f.example")]),
        ("undisclosed-recipients:;",                  &[]),
        ("<@one.example,@two.example:a@b.example>",   &[("", "a@b.example")]),
        ("a@b.example c@d.example",                   &[("", "a@b.example"), ("", "c@d.example")]),
        ("<a@b.example> <c@d.example>",               &[("", "a@b.example"), ("", "c@d.example")]),
        ("a@b.example; c@d.example",                  &[("", "a@b.example"), ("", "c@d.example")]),
        ("user0",                                     &[("", "user0")]),
        ("Mail Delivery System",                      &[("Mail Delivery System", "")]),
        ("MAILER-DAEMON <>",                          &[("MAILER-DAEMON", "")]),
        ("<>",                                        &[]),
        ("\"a b\"@c.example",                         &[("", "\"a b\"@c.example")]),
        ("a . b @ c . example",                       &[("", "a.b@c.example")]),
        ("Anna <a@b.example",                         &[("Anna", "a@b.example")]),
        ("Anna <a@b.example, c@d.example",            &[("Anna", "a@b.example"), ("", "c@d.example")]),
        ("Anna a@b.example",                          &[("Anna", "a@b.example")]),
        ("\"Anna Bee\" a@b.example, c@d.example",      &[("Anna Bee", "a@b.example"), ("", "c@d.example")]),
        ("=?utf-8?Q?Anna?= a@b.example",              &[("Anna", "a@b.example")]),
        ("\"a@b.example\"",                           &[("", "a@b.example")]),
        ("<\"a@b.example\">",                         &[("", "a@b.example")]),
        ("'a@b.example'",                             &[("", "'a@b.example'")]),
        ("Anna <'a@b.example'>",                      &[("Anna", "'a@b.example'")]),
        ("=?utf-8?Q?a=40b.example?=",                 &[("", "a@b.example")]),
        ("Bee, Anna <a@b.example>",                   &[("Bee, Anna", "a@b.example")]),
        ("c@d.example, Bee, Anna <a@b.example>, e",   &[("", "c@d.example"), ("Bee, Anna", "a@b.example"), ("", "e")]),
        ("Anna Bee, Ph.D. <a@b.example>",             &[("Anna Bee, Ph.D.", "a@b.example")]),
        ("one, two, Anna <a@b.example>",              &[("", "one"), ("", "two"), ("Anna", "a@b.example")]),
        ("one, <a@b.example>",                        &[("", "one"), ("", "a@b.example")]),
        ("team: Bee, Anna <a@b.example>;",            &[("Bee, Anna", "a@b.example")]),
        ("<a@b.example, c@d.example>",                &[("", "a@b.example"), ("", "c@d.example")]),
        ("Anna <a@b.example,>",                       &[("Anna", "a@b.example")]),
        ("a@b.example <>",                            &[("", "a@b.example")]),
        ("Anna <a@b.example> Bee",                    &[("Anna", "a@b.example")]),
        ("Anna <a@b.example> Bee, c",                 &[("Anna", "a@b.example"), ("", "c")]),
        ("Anna <a@b.example> Bee <c@d.example>",      &[("Anna", "a@b.example"), ("Bee", "c@d.example")]),
        ("Anna <a@b.example> c@d.example",            &[("Anna", "a@b.example"), ("", "c@d.example")]),
        ("., -- , a@b.example",                       &[("", "a@b.example")]),
        ("Anna <a@b.example>.",                       &[("Anna", "a@b.example")]),
        ("\"a@b.example\" <a@b.example>",             &[("a@b.example", "a@b.example")]),
        ("<mailto:a@b.example>",                      &[("", "a@b.example")]),
        ("<SMTP:a@b.example>",                        &[("", "a@b.example")]),
        ("Anna <smtp:a@b.example>, SMTP:c@d.example", &[("Anna", "a@b.example"), ("", "c@d.example")]),
        ("a@[192.0.2.1]",                             &[("", "a@[192.0.2.1]")]),
        ("a@[IPv6:2001:db8::1]",                      &[("", "a@[IPv6:2001:db8::1]")]),
        ("Änne <änne@bücher.example>",                &[("Änne", "änne@bücher.example")]),
        ("a@xn--bcher-kva.example",                   &[("", "a@bücher.example")]),
        ("O\"Neil <a@b.example>",                     &[("O\"Neil", "a@b.example")]),
        ("a@b.example,,, ,c@d.example,",              &[("", "a@b.example"), ("", "c@d.example")]),
        ("\"Anna \\\"B\\\" C\" <a@b.example>",        &[("Anna \"B\" C", "a@b.example")]),
        ("(only a comment)",                          &[]),
        ("",                                          &[]),
    ];
    for (text, want) in table {
        check(text, want);
    }
}

#[test]
fn no_address_is_made_of_words_that_are_none() {
    #[rustfmt::skip]
    let table: &[(&str, &[(&str, &str)])] = &[
        // A colon in a name, where nothing ends a group.
        ("Theatre: A Center <a@b.example>",           &[("Theatre: A Center", "a@b.example")]),
        ("Anna [COMPANY/ AREA:] <a@b.example>",       &[("Anna [COMPANY/ AREA:]", "a@b.example")]),
        ("c@d.example, Re: Anna <a@b.example>",       &[("", "c@d.example"), ("Re: Anna", "a@b.example")]),
        ("Anna : Bee <a@b.example>",                  &[("Anna : Bee", "a@b.example")]),
        ("undisclosed-recipients:",                   &[]),
        ("undisclosed recipients: , a@b.example",     &[("", "a@b.example")]),
        ("team: a@b.example, c@d.example",            &[("", "a@b.example"), ("", "c@d.example")]),
        ("team: <a@b.example>",                       &[("", "a@b.example")]),
        ("mailto:a@b.example",                        &[("", "a@b.example")]),
        ("a@b.example: c@d.example",                  &[("", "a@b.example"), ("", "c@d.example")]),
        // Blanks join no words to an address that was not there.
        ("\"Anna\" <b.example a@b.example>",           &[("Anna", "a@b.example")]),
        ("<Anna Bee a@b.example>",                    &[("Anna Bee", "a@b.example")]),
        ("<a@b.example (Anna)>",                      &[("", "a@b.example")]),
        ("<a@b.example c@d.example>",                 &[("", "a@b.example"), ("", "c@d.example")]),
        ("<Saved by Browser 7>",                      &[("Saved by Browser 7", "")]),
        ("Anna <Saved by Browser 7>",                 &[("Anna", "")]),
        ("<anna@exam ple.example>",                   &[("anna@exam ple.example", "")]),
        ("< a @ b . example >",                       &[("", "a@b.example")]),
        ("<=?utf-8?Q?Anna_Bee?=>",                    &[("Anna Bee", "")]),
        ("Anna <a@b.example > , \"Bee: C\" <c@d.example>", &[("Anna", "a@b.example"), ("Bee: C", "c@d.example")]),
        ("Anna <@relay.example:a@b.example>",         &[("Anna", "a@b.example")]),
        // Mere names.
        ("Anna Bee, Carl Dee",                        &[("Anna Bee", ""), ("Carl Dee", "")]),
        ("\"Anna Bee\"",                              &[("Anna Bee", "")]),
        // Comments that are names, quotes that nothing needs.
        ("(Anna) <a@b.example>",                      &[("Anna", "a@b.example")]),
        ("(Anna) a@b.example",                        &[("Anna", "a@b.example")]),
        ("a@b.example (\"Anna Bee\")",                &[("Anna Bee", "a@b.example")]),
        ("a@b.example (=?utf-8?Q?=C3=84nne?=)",       &[("Änne", "a@b.example")]),
        ("\"\" <a@b.example> (Anna)",                 &[("Anna", "a@b.example")]),
        ("\"anna.bee\"@b.example",                    &[("", "anna.bee@b.example")]),
        ("<\"anna\\.bee\"@b.example>",               &[("", "anna.bee@b.example")]),
        ("\"anna..bee\"@b.example",                   &[("", "\"anna..bee\"@b.example")]),
    ];
    for (text, want) in table {
        check(text, want);
    }
}

#[test]
fn what_is_damaged_is_read_as_far_as_it_goes() {
    #[rustfmt::skip]
    let table: &[(&str, &[(&str, &str)])] = &[
        ("=?utf-8?Q?Anna_Bee <a@b.example>, c@d.example, =?utf-8?B?Qm9i?= <e@f.example>",
            &[("=?utf-8?Q?Anna_Bee", "a@b.example"), ("", "c@d.example"), ("Bob", "e@f.example")]),
        ("=?utf-8?B?QW5uYSBCZWUgPGFAYi5leGFtcGxlPg==?=", &[("Anna Bee", "a@b.example")]),
        ("=?utf-8?Q?Anna_Bee_<a@b.example>?=",        &[("Anna Bee", "a@b.example")]),
        ("=?utf-8?Q?Anna?= =?utf-8?Q?_<a@b.example>?=", &[("Anna", "a@b.example")]),
        ("\"Anna Bee <a@b.example>\"",                &[("Anna Bee", "a@b.example")]),
        ("Anna <a@b.example; Bob <c@d.example>",      &[("Anna", "a@b.example"), ("Bob", "c@d.example")]),
        ("Anna Bee <a@b.example Bob <c@d.example>",   &[("Anna Bee", "a@b.example"), ("Bob", "c@d.example")]),
        ("<a@b.example;c@d.example>",                 &[("", "a@b.example"), ("", "c@d.example")]),
        ("<Anna Bee <a@b.example>>",                  &[("Anna Bee", "a@b.example")]),
        ("Anna <<a@b.example>>",                      &[("Anna", "a@b.example")]),
        ("\"Anna <a@b.example>\", Bob <c@d.example>", &[("Anna", "a@b.example"), ("Bob", "c@d.example")]),
        ("\"a@b.example\", Bob <c@d.example>",        &[("", "a@b.example"), ("Bob", "c@d.example")]),
        ("<undisclosed-recipients:;>",                &[]),
        ("<undisclosed-recipients;>",                 &[]),
        ("Anna =?utf-8?Q?Bee_<a@b.example>?=",        &[("Anna Bee", "a@b.example")]),
        ("Anna <a@b.example> or c@d.example",         &[("Anna", "a@b.example"), ("", "c@d.example")]),
        ("Anna <\"a<b\"@c.example>, <\"a>b\"@c.example>", &[("Anna", "\"a<b\"@c.example"), ("", "\"a>b\"@c.example")]),
        ("undisclosed-recipients:;@host.example",     &[]),
        ("@relay.example:a@b.example",                &[("", "a@b.example")]),
        ("a@b.example <Anna Bee>, c@d.example <C>",   &[("Anna Bee", "a@b.example"), ("C", "c@d.example")]),
        ("a@b.example <root@c.example>, Anna <root>", &[("a@b.example", "root@c.example"), ("Anna", "root")]),
    ];
    for (text, want) in table {
        check(text, want);
    }
}

#[test]
fn only_what_is_malformed_is_a_defect() {
    #[rustfmt::skip]
    let table = [
        ("a@b.example, Anna <c@d.example>, \"Bee, C\" <e@f.example>", false),
        ("team: a@b.example, <c@d.example>;, e@f.example (E)",        false),
        ("<@one.example,@two.example:a@b.example>",                   false),
        ("\"a, b\"@c.example, <\"a, b\"@c.example>",                  false),
        ("<a@b.example> Anna",                                        true),
        ("Mail Delivery System",                                      true),
        ("Anna <>",                                                   true),
        ("Anna <b>",                                                  true),
    ];
    for (text, want) in table {
        let mut defects = Defects::default();
        let mut field = FieldText {
            fallback: None,
            words_left: 1_000,
            detection: Detection::default(),
            defects: &mut defects,
        };
        let _ = parse(text, &mut field);
        assert_eq!(defects.has(Defect::AddressMalformed), want, "{text}");
    }
}

#[test]
fn depth_and_length_cost_only_their_size() {
    let comments = format!("{}{} a@b.example", "(".repeat(20_000), ")".repeat(20_000));
    assert_eq!(list(comments.as_bytes()).len(), 1);
    assert_eq!(list(format!("{} a@b.example", "(".repeat(50_000)).as_bytes()).len(), 1);
    assert_eq!(list(format!("{} a@b.example", "g:".repeat(50_000)).as_bytes()).len(), 1);
    list("<".repeat(50_000).as_bytes());
    list("\"\\".repeat(50_000).as_bytes());
    list("=?a?q?".repeat(50_000).as_bytes());
    assert_eq!(list("a@b.example,".repeat(50_000).as_bytes()).len(), 50_000);
}

proptest! {
    #[test]
    fn any_bytes(text in proptest::collection::vec(prop_oneof![
        Just(b'"'), Just(b'<'), Just(b'>'), Just(b','), Just(b'('), Just(b')'), Just(b':'), Just(b';'),
        Just(b'@'), Just(b'.'), Just(b'['), Just(b']'), Just(b'='), Just(b'?'), Just(b'\\'), any::<u8>(),
    ], 0..80)) {
        list(&text);
    }
}
