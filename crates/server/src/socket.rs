//! `/ws`: the live socket, described for outsiders in `asyncapi.yaml`.

mod handshake;
mod session;
mod subscribe;
mod wire;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use tokio::time::timeout;

use crate::problem::Problem;
use crate::serving::Serving;
use session::Session;

/// How long the upgrade itself may take once it is promised.
const UPGRADE_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Opens a live socket, while there are seats.
pub(crate) async fn open(
    State(serving): State<Arc<Serving>>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accepted = handshake::accept(&mut request)?;
    let seat = Arc::clone(&serving.seats).try_acquire_owned().map_err(|_| {
        Problem::unavailable(format!("all {} live sockets are taken", serving.app.limits.clients))
            .field("clients")
            .fix("close one, or raise `server.max_clients`")
    })?;
    let tracked = serving.sockets.clone();
    tracked.spawn(async move {
        let _seat = seat;
        let limit = serving.app.limits.socket_message_bytes;
        match timeout(UPGRADE_WITHIN, accepted.upgrade).await {
            Ok(Ok(upgraded)) => Session::new(wire::over(upgraded, limit).await, serving).run().await,
            Ok(Err(error)) => tracing::debug!(%error, "a client left while its socket was being upgraded"),
            Err(_) => tracing::debug!("a client did not finish the upgrade of its socket in time"),
        }
    });
    Ok(accepted.response)
}
