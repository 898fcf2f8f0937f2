//! `/ws`: the live socket, described for outsiders in `asyncapi.yaml`.

mod handshake;
mod session;
mod start;
mod subscribe;
mod wire;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::time::timeout;

use crate::access::Person;
use crate::api::reading::purpose_of;
use crate::problem::Problem;
use crate::serving::Serving;
use session::{Reader, Session};

/// How long the upgrade itself may take once it is promised.
const UPGRADE_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Opens a live socket, while there are seats.
pub(crate) async fn open(
    State(serving): State<Arc<Serving>>,
    Extension(person): Extension<Person>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accepted = handshake::accept(&mut request)?;
    let seat = Arc::clone(&serving.seats).try_acquire_owned().map_err(|_| {
        Problem::unavailable(format!("all {} live sockets are taken", serving.app.limits.clients))
            .field("clients")
            .fix("close one, or raise `server.max_clients`")
    })?;
    let reader = Reader { person, purpose: purpose_of(request.headers()) };
    let tracked = serving.sockets.clone();
    tracked.spawn(async move {
        let _seat = seat;
        let limits = serving.app.limits;
        let upgraded = match timeout(UPGRADE_WITHIN, accepted.upgrade).await {
            Ok(Ok(upgraded)) => upgraded,
            Ok(Err(error)) => {
                return tracing::debug!(%error, "a client left while its socket was being upgraded");
            }
            Err(_) => return tracing::debug!("a client did not finish the upgrade of its socket in time"),
        };
        match wire::over(upgraded, limits.socket_message_bytes, limits.send_timeout).await {
            Ok(socket) => Session::new(socket, serving, reader).run().await,
            Err(error) => tracing::warn!(%error, "a live socket could not be opened"),
        }
    });
    Ok(accepted.response)
}
