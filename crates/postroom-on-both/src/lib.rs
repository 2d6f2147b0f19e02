//! The attribute that makes two tests of one: on SQLite and on PostgreSQL.
//!
//! ```text
//!   #[on_both]                             ──►  async fn mail_is_kept() { … }
//!   async fn mail_is_kept() { … }               mod mail_is_kept {
//!                                                   #[test] fn sqlite() { … }
//!                                                   #[test] fn postgres() { … }
//!                                               }
//! ```
//! `postroom_testkit::on_both` is this attribute, and `postroom_testkit::TestDatabase` is what the
//! two tests differ in. It is a crate of its own because a macro crate can be nothing else.

use proc_macro::TokenStream;
use proc_macro::TokenTree;

/// Makes two tests of an `async fn` without arguments. What stands in the parentheses of the
/// attribute is handed to `tokio::test`.
#[proc_macro_attribute]
pub fn on_both(arguments: TokenStream, test: TokenStream) -> TokenStream {
    let Some(name) = name_of(test.clone()) else {
        return error("on_both stands before an `async fn` without arguments");
    };
    let parent = "super";
    let runtime = arguments.to_string();
    let tests = format!(
        "mod {name} {{
            #[::tokio::test({runtime})]
            async fn sqlite() {{
                ::postroom_testkit::TestDatabase::Sqlite.run({parent}::{name}).await;
            }}
            #[::tokio::test({runtime})]
            async fn postgres() {{
                ::postroom_testkit::TestDatabase::Postgres.run({parent}::{name}).await;
            }}
        }}"
    );
    // It says that the function is a test too, for lints that ask.
    let (Ok(mut both), Ok(tests)) = ("#[cfg(test)]".parse::<TokenStream>(), tests.parse()) else {
        return error("on_both takes what tokio::test takes");
    };
    both.extend(test);
    both.extend::<TokenStream>(tests);
    both
}

/// The name of an asynchronous function without arguments.
fn name_of(test: TokenStream) -> Option<String> {
    let mut before = [None, None];
    let mut name = None;
    for token in test {
        match (&token, &name) {
            (TokenTree::Ident(ident), None) => {
                let [first, second] = &before;
                if second.as_deref() == Some("fn") {
                    let is_async = first.as_deref() == Some("async");
                    name = is_async.then(|| ident.to_string());
                    name.as_ref()?;
                }
                before = [before[1].take(), Some(ident.to_string())];
            }
            (TokenTree::Group(group), Some(_)) => {
                return name.filter(|_| group.stream().is_empty());
            }
            (TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_), None) => {
                before = [None, None];
            }
            (TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_), Some(_)) => {
                return None;
            }
        }
    }
    None
}

fn error(text: &str) -> TokenStream {
    format!("::core::compile_error!({text:?});").parse().unwrap_or_default()
}
