//! The trace id of a request, from the headers by which proxies hand it on.
//!
//! **Invariants**: an id is 32 hexadecimal digits that are not all zero; anything else is ignored.
//! **Not here**: making an id ([`super::RequestLog`]).
//!
//! W3C Trace Context §3.2 (`traceparent`); Google Cloud's `X-Cloud-Trace-Context: TRACE_ID/SPAN_ID;o=OPTIONS`.

use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::base::text::is_hex;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const CLOUD_TRACE: HeaderName = HeaderName::from_static("x-cloud-trace-context");

/// The trace id of a request; `None` if it has none.
pub(super) fn of(headers: &HeaderMap) -> Option<u128> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(TRACEPARENT).and_then(of_traceparent).or_else(|| text(CLOUD_TRACE).and_then(of_cloud_trace))
}

/// `VERSION-TRACE_ID-PARENT_ID-FLAGS`. Later versions may add fields; version `ff` is invalid.
fn of_traceparent(text: &str) -> Option<u128> {
    let mut fields = text.split('-');
    let version = fields.next().filter(|version| is_hex(version, 2) && *version != "ff")?;
    let trace = fields.next()?;
    let has_rest =
        fields.next().is_some_and(|parent| is_hex(parent, 16)) && fields.next().is_some_and(|flags| is_hex(flags, 2));
    let is_whole = has_rest && (version != "00" || fields.next().is_none());
    id(trace).filter(|_| is_whole)
}

fn of_cloud_trace(text: &str) -> Option<u128> {
    id(text.split(['/', ';']).next()?)
}

fn id(text: &str) -> Option<u128> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|id| is_id && *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &'static str, value: &str) -> Option<u128> {
        of(&HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]))
    }

    #[test]
    fn both_headers_have_a_trace_id() {
        let id = Some(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        let hex = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(found("traceparent", &format!("00-{hex}-00f067aa0ba902b7-01")), id);
        assert_eq!(found("traceparent", &format!("cc-{hex}-00f067aa0ba902b7-01-more")), id);
        assert_eq!(found("x-cloud-trace-context", &format!("{hex}/1;o=1")), id);
        assert_eq!(found("x-cloud-trace-context", hex), id);
    }

    #[test]
    fn anything_else_is_no_trace_id() {
        let hex = "4bf92f3577b34da6a3ce929d0e0e4736";
        let zero = "0".repeat(32);
        for text in [
            "",
            "00",
            hex,
            &format!("ff-{hex}-00f067aa0ba902b7-01"),
            &format!("00-{zero}-00f067aa0ba902b7-01"),
            &format!("00-{hex}-00f067aa0ba902b7-01-more"),
            &format!("00-{hex}x-00f067aa0ba902b7-01"),
            &format!("00-+{}-00f067aa0ba902b7-01", &hex[1..]),
            &format!("00-{hex}"),
        ] {
            assert_eq!(found("traceparent", text), None, "{text}");
        }
        for text in ["", "/", &zero, &hex[1..], "+bf92f3577b34da6a3ce929d0e0e4736"] {
            assert_eq!(found("x-cloud-trace-context", text), None, "{text}");
        }
    }
}
