//! The provider of OAuth 2.0 of `postroom sandbox --oauth`.

use crate::cli::SandboxArguments;
use anyhow::Context;
use postroom_sandbox::ListeningTokenServer;
use postroom_sandbox::Sandbox;
use postroom_sandbox::TokenServer;

/// The client id of an app.
const CLIENT_ID: &str = "sandbox";
/// Its secret. It is also good for tokens without a consent.
const CLIENT_SECRET: &str = "sandbox-secret";

/// Starts the provider. The servers take its tokens from now on.
pub(super) async fn start(
    sandbox: &Sandbox,
    arguments: &SandboxArguments,
) -> anyhow::Result<ListeningTokenServer> {
    let provider = TokenServer::default();
    provider.register(CLIENT_ID, CLIENT_SECRET);
    provider.entitle(CLIENT_SECRET, None);
    if arguments.oauth_rotate {
        provider.rotate();
    }
    sandbox.take_tokens_of(&provider);
    let port = arguments.oauth_port;
    let listening = provider.listen_on(port).await;
    listening.with_context(|| format!("port {port} of the provider (another: --oauth-port)"))
}

/// What an app needs to know of it.
pub(super) fn described(provider: &ListeningTokenServer) -> Vec<String> {
    let at = provider.address;
    vec![
        format!("oauth: authorizeUrl http://{at}/authorize, tokenUrl http://{at}/token"),
        format!("oauth: deviceUrl http://{at}/device, whose page is http://{at}/activate"),
        format!("oauth: clientId {CLIENT_ID}, clientSecret {CLIENT_SECRET}"),
    ]
}
