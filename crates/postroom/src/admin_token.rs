//! The administrator's token: it is given, or made at the first start.

use crate::cli::ServeArguments;
use crate::data;
use crate::logging;
use crate::secrets;
use anyhow::Context;
use anyhow::bail;
use postroom_model::Domain;
use postroom_store::Store;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::path::Path;

/// The minimum length of an administrator's token.
const TOKEN_CHARACTERS_MIN: usize = 20;
/// The file for a generated token, if nothing may be printed.
const TOKEN_FILE: &str = "admin-token";

/// Ensures that the administrator has a token: the given one, otherwise a generated one. A
/// generated token is printed once. With `--log-json` it goes into a file instead, because other
/// systems collect and keep such logs.
pub(crate) async fn ensure(
    store: &Store,
    data: &Path,
    arguments: &ServeArguments,
) -> anyhow::Result<()> {
    let domain = Domain::default_domain();
    if let Some(token) = &arguments.admin_token {
        return set(store, token).await;
    }
    if store.token_exists(&domain, "admin").await? {
        return Ok(());
    }
    let token = postroom_store::random_token();
    let file = data.join(TOKEN_FILE);
    if arguments.log_json {
        data::write_secret(&file, &token)?;
    }
    let made = store.token_make(&domain, "admin", &token).await;
    // If nobody knows what came of it, the file may have the token.
    let is_other = !matches!(made, Ok(true) | Err(postroom_store::Error::OutcomeUnknown));
    if is_other && arguments.log_json {
        std::fs::remove_file(&file).with_context(|| file.display().to_string())?;
    }
    if !made.context("administrator's token")? {
        tracing::info!(
            "another process of this database has made the administrator's token at this moment: \
             its output, or its file `{TOKEN_FILE}`, has it"
        );
        return Ok(());
    }
    if arguments.log_json {
        let file = file.display().to_string();
        tracing::warn!(file, "an administrator's token was made: read it there, delete the file");
    } else {
        let shown = token.expose_secret();
        logging::announce(false, &format!("administrator's token, shown this once: {shown}"));
    }
    Ok(())
}

/// Makes a given token the administrator's. The former one is refused from now on.
async fn set(store: &Store, token: &SecretString) -> anyhow::Result<()> {
    if token.expose_secret().chars().count() < TOKEN_CHARACTERS_MIN {
        bail!("the administrator's token needs at least {TOKEN_CHARACTERS_MIN} characters");
    }
    let domain = Domain::default_domain();
    store.token_set(&domain, "admin", token).await.context("administrator's token")
}

/// Takes the administrator's token from its file. The former one is refused from now on.
pub(crate) async fn reload(store: &Store, arguments: &mut ServeArguments) {
    let file = arguments.admin_token_file.as_deref();
    let token = match secrets::ADMIN_TOKEN.read(file) {
        Ok(Some(token)) => token,
        Ok(None) => return,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "SIGHUP: the administrator's token is the former one");
            return;
        }
    };
    let held = arguments.admin_token.as_ref().map(ExposeSecret::expose_secret);
    if held == Some(token.expose_secret()) {
        return;
    }
    match set(store, &token).await {
        Ok(()) => {
            tracing::info!(
                "SIGHUP: the new administrator's token holds, and the former one is refused"
            );
            arguments.admin_token = Some(token);
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "SIGHUP: the administrator's token is the former one");
        }
    }
}
