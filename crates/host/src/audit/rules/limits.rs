//! Limits of requests and connections per address.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::findings::Severity;
use crate::audit::patch::{Edit, into_block};

pub(crate) fn rate(context: &Context<'_>) -> Outcome {
    let Some(http) = context.nginx.http else {
        return Outcome::Unknown("no http block in nginx's configuration".into());
    };
    let requests = !context.nginx.everywhere("limit_req").is_empty();
    let connections = !context.nginx.everywhere("limit_conn").is_empty();
    let (missing, lines): (Vec<&str>, Vec<&str>) = [
        (
            requests,
            "no limit_req",
            [
                "limit_req_zone $binary_remote_addr zone=hls_requests:10m rate=50r/s;",
                "limit_req zone=hls_requests burst=100 nodelay;",
                "limit_req_status 429;",
            ],
        ),
        (
            connections,
            "no limit_conn",
            [
                "limit_conn_zone $binary_remote_addr zone=hls_connections:10m;",
                "limit_conn hls_connections 50;",
                "limit_conn_status 429;",
            ],
        ),
    ]
    .iter()
    .filter(|(there, ..)| !there)
    .fold((Vec::new(), Vec::new()), |(mut missing, mut lines), (_, name, zone)| {
        missing.push(*name);
        lines.extend(zone);
        (missing, lines)
    });
    if missing.is_empty() {
        return Outcome::Good("limit_req and limit_conn".into());
    }
    // Files cost little; an application behind the server can be drowned by one address.
    let proxied = context.nginx.proxied().next();
    let severity = if proxied.is_some() { Severity::Moderate } else { Severity::Low };
    let behind = match proxied {
        Some((_, pass)) => format!("; {} passes requests on to an application", pass.place()),
        None => String::new(),
    };
    let edit: Option<Edit> = into_block(http, &lines, context.files());
    Outcome::found(
        Draft::new(severity, "no address is limited")
            .evidence([format!("{} in the http block ({}){behind}", missing.join(", "), http.place())])
            .effect(format!("one address that misbehaves takes what {} viewers share", context.viewers))
            .fix("limit_req_zone and limit_conn_zone per address: a viewer needs about 2 requests per segment; allow for homes and offices behind one address, and exempt the machines of a load test")
            .edits(edit),
    )
}
