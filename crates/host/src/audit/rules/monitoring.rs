//! Whether anybody can see how the server is doing.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::findings::Severity;
use crate::audit::patch::into_block;

/// Directives that publish figures.
const PUBLISHERS: [&str; 5] = ["stub_status", "vhost_traffic_status_display", "api", "status", "prometheus"];

pub(crate) fn monitoring(context: &Context<'_>) -> Outcome {
    if context.nginx.http.is_none() {
        return Outcome::Unknown("no http block in nginx's configuration".into());
    }
    let found = PUBLISHERS.iter().find_map(|name| context.nginx.everywhere(name).first().copied());
    if let Some(directive) = found {
        return Outcome::Good(format!("{}: {directive}", directive.place()));
    }
    let lines = [
        "location = /nginx_status {",
        "    stub_status;",
        "    allow 127.0.0.1;",
        "    allow ::1;",
        "    deny all;",
        "}",
    ];
    let server =
        context.nginx.locations.iter().map(|location| location.head).find(|head| head.name == "server");
    let edit = server.and_then(|server| into_block(server, &lines, context.files()));
    Outcome::found(
        Draft::new(Severity::Low, "nothing shows how nginx is doing")
            .evidence(["no stub_status and nothing like it in nginx's configuration".to_owned()])
            .effect(format!("that {} viewers come near a limit is seen when they are gone", context.viewers))
            .fix("stub_status for this machine alone, an exporter (nginx-prometheus-exporter, node_exporter), and alerts")
            .edits(edit),
    )
}
