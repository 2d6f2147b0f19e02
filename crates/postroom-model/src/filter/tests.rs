//! Tables of filters, good and bad.

use super::*;
use crate::builtin;
use crate::class::Class;
use crate::property::DataType;
use proptest::prelude::*;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;

fn messages() -> Class {
    builtin::classes().unwrap().remove(3)
}

fn operand(property: &str, data_type: DataType) -> Operand {
    Operand { subject: Subject::Property(property.to_owned()), data_type, multi: false }
}

fn item() -> Operand {
    Operand { subject: Subject::Item, data_type: DataType::Any, multi: false }
}

/// Of the member `x` of a property.
fn inside(property: &str, wanted: Filter) -> Filter {
    let of = Subject::Property(property.to_owned());
    Filter::Some(Items { of, path: vec!["x".to_owned()] }, Box::new(wanted))
}

#[test]
fn filters_take_the_types_of_their_properties() {
    let state = || operand("messageState", DataType::Enum);
    let moment = || operand("dateTime", DataType::Datetime);
    let received = || Literal::Text("received".to_owned());
    #[rustfmt::skip]
    let table = [
        (json!(["==", ["property", "messageState"], "received"]), Filter::Compare(state(), Comparison::Equal, received())),
        (json!(["==", "received", ["property", "messageState"]]), Filter::Compare(state(), Comparison::Equal, received())),
        (json!(["<", ["const", 5], ["property", "size"]]), Filter::Compare(operand("size", DataType::Long), Comparison::Greater, Literal::Whole(5))),
        (json!([">=", ["property", "dateTime"], "1970-01-01T01:00:00+01:00"]), Filter::Compare(moment(), Comparison::GreaterOrEqual, Literal::Moment(0))),
        (json!(["in", ["property", "messageState"], ["received", null]]), Filter::In(state(), vec![received(), Literal::Null])),
        (json!(["isnull", ["property", "messageState"]]), Filter::IsNull(state())),
        (json!(["not", ["or", ["isnull", ["property", "messageState"]]]]), Filter::Not(Box::new(Filter::Or(vec![Filter::IsNull(state())])))),
        (json!(["like", ["property", "subject"], "a%"]), Filter::Like(operand("subject", DataType::String), "a%".to_owned())),
        (json!(["==", ["property", "headers.x"], 5]), inside("headers", Filter::Compare(item(), Comparison::Equal, Literal::Whole(5)))),
        (json!(["contains", ["property", "to"], "a@b.test"]), Filter::Contains(Operand { multi: true, ..operand("to", DataType::String) }, Literal::Text("a@b.test".to_owned()))),
    ];
    for (json, want) in table {
        assert_eq!(parse(&messages(), &json).as_ref(), Ok(&want), "{json}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let long = "x".repeat(66_000);
    #[rustfmt::skip]
    let table = [
        (json!("x"), "begins with an operator"),
        (json!([]), "begins with an operator"),
        (json!(["=~", ["property", "subject"], "x"]), "no operator `=~`"),
        (json!(["match"]), "filter: match: takes 1 operand"),
        (json!(["match", 5]), "filter[1]: match: takes a string"),
        (json!(["and", ["match", "a \"b"]]), "filter[1][1]: match: at character 3: a `\"` is not closed"),
        (json!(["match", "-storno"]), "filter[1]: match: says only what a message must not have"),
        (json!(["any", ["property", "to"], ["match", "x"]]), "looks at a message as a whole, never at an item"),
        (json!(["any", ["property", "recipients"], ["match", "x"]]), "looks at a message as a whole"),
        (Json::Array([vec![json!("or")], vec![json!(["match", "xy"]); 9]].concat()), "a filter has at most 8 of them"),
        (json!(["==", ["property", "subjekt"], "x"]), "no property `subjekt`"),
        (json!(["==", ["property", "subject"]]), "==: takes 2 operands"),
        (json!(["==", "a", "b"]), "takes a property first"),
        (json!(["==", ["property", "uid"], "x"]), "`uid` takes a whole number"),
        (json!(["==", ["property", "messageState"], "gone"]), "`messageState` takes one of sending"),
        (json!(["==", ["property", "to"], "x"]), "`to` is a list"),
        (json!(["==", ["property", "rawMessage"], "x"]), "cannot be filtered by"),
        (json!(["==", ["property", "headers"], "x"]), "name a value inside"),
        (json!(["<", ["property", "uid"], null]), "cannot be compared by size"),
        (json!(["between", ["property", "uid"], null, 5]), "null cannot be compared by size"),
        (json!(["contains", ["property", "to"], null]), "use isnull"),
        (json!(["==", ["property", "headers."], "x"]), "empty name"),
        (json!(["in", ["property", "uid"], 5]), "takes a list of at most"),
        (json!(["==", ["property", "subject"], long]), "at most 65536 bytes"),
        (json!(["not"]), "not: takes 1 operand"),
        (json!(["==", ["property", "id"], "x"]), "`id` takes a UUID"),
        (json!(["==", ["property", "subject.x"], "x"]), "holds no JSON"),
    ];
    for (json, want) in table {
        let problem = parse(&messages(), &json).unwrap_err().to_string();
        assert!(problem.contains(want), "{problem} for {want}");
    }
}

#[test]
fn the_place_of_what_is_wrong_is_named() {
    let (uid, to) = (json!(["property", "uid"]), json!(["property", "to"]));
    let recipients = json!(["property", "recipients"]);
    #[rustfmt::skip]
    let table = [
        (json!(5),                                                          "filter"),
        (json!(["=~", 1, 2]),                                               "filter"),
        (json!(["==", uid, "x"]),                                           "filter[2]"),
        (json!(["==", "x", uid]),                                           "filter[1]"),
        (json!(["==", ["property", "nope"], "x"]),                          "filter[1]"),
        (json!(["and", ["isnull", uid], ["not", ["in", uid, [1, "x"]]]]),   "filter[2][1][2][1]"),
        (json!(["between", uid, 1, "x"]),                                   "filter[3]"),
        (json!(["like", uid, "x"]),                                         "filter[1]"),
        (json!(["like", ["property", "subject"], 5]),                       "filter[2]"),
        (json!(["contains", uid, 5]),                                       "filter[1]"),
        (json!(["isnull", ["property"]]),                                   "filter[1]"),
        (json!(["any", uid, ["==", ["item"], 5]]),                          "filter[1]"),
        (json!(["all", to, ["==", ["item"], 5]]),                           "filter[2][2]"),
        (json!(["any", to, ["==", ["property", "x"], 5]]),                  "filter[2][1]"),
        (json!(["any", recipients, ["or", [], ["<", ["property", "n"], true]]]), "filter[2][1]"),
        (json!(["or", ["isnull", uid], ["==", ["item"], 5]]),               "filter[2][1]"),
    ];
    for (json, want) in table {
        assert_eq!(parse(&messages(), &json).unwrap_err().property, want, "{json}");
    }
    let problem = parse(&messages(), &json!(["==", ["property", "nope"], 1])).unwrap_err();
    for name in ["id", "messageState", "recipients", "version"] {
        assert!(problem.reason.contains(name), "{problem}");
    }
    assert!(!problem.reason.contains("rawMessage"), "{problem}");
}

fn classes() -> Vec<Arc<Class>> {
    builtin::classes().unwrap().into_iter().map(Arc::new).collect()
}

#[test]
fn names_lead_through_references() {
    let classes = classes();
    let names = Names::among(&classes[3], &classes);
    let through = |dotted: &str, operator: &str| json!([operator, ["property", dotted], "x"]);
    let address = parse(names, &through("account_id.address", "==")).unwrap();
    let equal = Filter::Compare(
        operand("address", DataType::String),
        Comparison::Equal,
        Literal::Text("x".to_owned()),
    );
    let reference = |class: &Class, property: &str| Through {
        property: property.to_owned(),
        column: property.to_owned(),
        class: class.id,
        table: class.table().into_owned(),
    };
    let want = Filter::Refers(reference(&classes[1], "account_id"), Box::new(equal.clone()));
    assert_eq!(address, want);
    let unequal = parse(names, &through("account_id.address", "!=")).unwrap();
    assert_eq!(unequal, Filter::Not(Box::new(want.clone())));
    let far = parse(names, &through("folder_id.account_id.address", "==")).unwrap();
    assert_eq!(far, Filter::Refers(reference(&classes[2], "folder_id"), Box::new(want)));
    #[rustfmt::skip]
    let table = [
        ("account_id.password",     "cannot be filtered by"),
        ("account_id.nope",         "email/Accounts has no property `nope`; there are id, "),
        ("account_id.enabled",      "`account_id.enabled` takes true or false"),
        ("account_id.address.x",    "holds no JSON"),
        ("account_id.",             "empty name"),
    ];
    for (dotted, want) in table {
        let problem = parse(names, &through(dotted, "==")).unwrap_err().to_string();
        assert!(problem.contains(want), "{problem} for {want}");
    }
    assert!(equality(names, "account_id.address", "x").is_ok());
    // Without the other classes, no name leads there.
    assert!(parse(&classes[3], &through("account_id.address", "==")).is_err());
}

#[test]
fn a_nul_is_refused_wherever_it_stands() {
    let nul = "a\u{0}b";
    let subject = json!(["property", "subject"]);
    let operators = ["==", "!=", "<", "<=", ">", ">=", "like", "contains", "startswith"];
    let mut filters: Vec<_> = operators.iter().map(|op| json!([op, subject, nul])).collect();
    filters.extend([
        json!(["in", subject, ["x", nul]]),
        json!(["between", subject, "a", nul]),
        json!(["between", subject, nul, "z"]),
        json!(["==", subject, ["const", nul]]),
        json!(["==", nul, subject]),
        json!(["contains", ["property", "to"], nul]),
        json!(["==", ["property", "headers.x"], nul]),
        json!(["==", ["property", format!("headers.{nul}")], "x"]),
        json!(["isnull", ["property", format!("headers.{nul}")]]),
        json!(["not", ["or", ["like", subject, nul]]]),
    ]);
    for filter in filters {
        let problem = parse(&messages(), &filter).unwrap_err();
        assert!(problem.reason.contains("NUL"), "{filter}: {problem}");
    }
    for name in ["subject", "to", "headers.x"] {
        assert!(equality(&messages(), name, nul).unwrap_err().reason.contains("NUL"), "{name}");
    }
}

#[test]
fn size_is_bounded() {
    let mut deep = json!(["isnull", ["property", "uid"]]);
    for _ in 0..33 {
        deep = json!(["not", deep]);
    }
    assert!(parse(&messages(), &deep).unwrap_err().reason.contains("too large"));
    let wide: Vec<Json> = (0..1000).map(|_| json!(["isnull", ["property", "uid"]])).collect();
    let wide = [vec![json!("and")], wide].concat();
    assert!(parse(&messages(), &Json::Array(wide)).unwrap_err().reason.contains("too large"));
}

#[test]
fn equality_reads_the_text_as_the_type() {
    let uid = equality(&messages(), "uid", "7").unwrap();
    let want =
        Filter::Compare(operand("uid", DataType::Long), Comparison::Equal, Literal::Whole(7));
    assert_eq!(uid, want);
    assert!(matches!(equality(&messages(), "to", "a@b.test").unwrap(), Filter::Contains(..)));
    assert!(matches!(equality(&messages(), "messageState", "null").unwrap(), Filter::IsNull(_)));
    assert!(equality(&messages(), "uid", "seven").is_err());
    let count = |text: &str| {
        let filter = equality(&messages(), "headers.x", text).unwrap();
        let Filter::Some(_, filter) = filter else { return 0 };
        if let Filter::In(_, values) = *filter { values.len() } else { 0 }
    };
    assert_eq!([count("60"), count("true"), count("abc"), count("[1]")], [2, 2, 1, 1]);
    assert!(equality(&messages(), "headers", "x").unwrap_err().reason.contains("name a value"));
    assert!(equality(&messages(), "version", "x").unwrap_err().reason.contains("whole number"));
    assert!(equality(&messages(), "nope", "1").unwrap_err().reason.contains("no such parameter"));
}

fn any_json() -> impl Strategy<Value = Json> {
    const WORDS: &[&str] =
        &["and", "or", "not", "==", "<", "in", "property", "uid", "to", "const", "isnull"];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        proptest::sample::select(WORDS).prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 64, 4, |inner| {
        proptest::collection::vec(inner, 0..4).prop_map(Json::Array)
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(json in any_json()) {
        let _ = parse(&messages(), &json);
    }
}

#[test]
fn what_looks_into_texts_or_json_is_known() {
    let messages = messages();
    let property = |name: &str| json!(["property", name]);
    let many: Vec<_> = (0..101).map(|n| format!("s{n}")).collect();
    #[rustfmt::skip]
    let table = [
        (json!(["==", property("messageState"), "raw"]),                          false),
        (json!(["and", ["isnull", property("sentAt")], ["!=", property("size"), 1]]), false),
        (json!(["not", ["in", property("errorCode"), ["a", "b"]]]),               false),
        (json!(["in", property("subject"), many]),                                true),
        (json!(["like", property("subject"), "a%"]),                              true),
        (json!(["startswith", property("subject"), "a"]),                         true),
        (json!(["contains", property("to"), "a@demo.test"]),                      true),
        (json!(["==", property("recipients.state"), "sent"]),                     true),
        (json!(["not", ["or", ["==", property("size"), 1], ["contains", property("text"), "a"]]]), true),
    ];
    for (json, want) in table {
        assert_eq!(parse(&messages, &json).unwrap().searches(), want, "{json}");
    }
}
