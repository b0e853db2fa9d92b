//! Frame Streams, as the side that sends: frames of data, and control frames.
//!
//! **Invariants**: a control frame that is read has at most [`MAX_CONTROL_LEN`] bytes.
//! **Not here**: the order of control frames ([`crate::tap`]).

/// The content type of dnstap.
pub(crate) const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// The most bytes of a control frame: `FSTRM_CONTROL_FRAME_LENGTH_MAX` of libfstrm.
pub(crate) const MAX_CONTROL_LEN: usize = 512;

/// The bytes of a length.
pub(crate) const LEN_LEN: usize = 4;

/// The length of a frame of data that announces a control frame.
const ESCAPE: [u8; LEN_LEN] = [0; LEN_LEN];

/// The field of a control frame that has a content type.
const FIELD_CONTENT_TYPE: u32 = 1;

/// A type of control frames, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlType {
    /// The reader accepts content types.
    Accept = 1,
    /// The frames of data begin.
    Start = 2,
    /// The frames of data have ended.
    Stop = 3,
    /// The sender offers content types.
    Ready = 4,
    /// The reader has taken all frames.
    Finish = 5,
}

impl ControlType {
    const ALL: [ControlType; 5] =
        [ControlType::Accept, ControlType::Start, ControlType::Stop, ControlType::Ready, ControlType::Finish];
}

/// A control frame with its escape. READY and START name the content type.
pub(crate) fn control(kind: ControlType) -> Vec<u8> {
    let mut body = (kind as u32).to_be_bytes().to_vec();
    if matches!(kind, ControlType::Ready | ControlType::Start) {
        body.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
        body.extend_from_slice(&(CONTENT_TYPE.len() as u32).to_be_bytes());
        body.extend_from_slice(CONTENT_TYPE);
    }
    [&ESCAPE[..], &(body.len() as u32).to_be_bytes(), &body].concat()
}

/// A control frame of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadControl {
    /// Its type.
    pub(crate) kind: ControlType,
    /// True if it names the content type of dnstap.
    pub(crate) has_dnstap: bool,
}

/// Reads the bytes behind the length of a control frame. `None` if these are not one.
pub(crate) fn read_control(body: &[u8]) -> Option<ReadControl> {
    let (kind, mut rest) = number(body)?;
    let kind = ControlType::ALL.into_iter().find(|known| *known as u32 == kind)?;
    let mut has_dnstap = false;
    while !rest.is_empty() {
        let (field, after) = number(rest)?;
        let (len, after) = number(after)?;
        let (value, after) = after.split_at_checked(usize::try_from(len).ok()?)?;
        has_dnstap |= field == FIELD_CONTENT_TYPE && value == CONTENT_TYPE;
        rest = after;
    }
    Some(ReadControl { kind, has_dnstap })
}

/// The length of the control frame behind these first bytes. `None` if these are not the first bytes of a control frame of a valid length.
pub(crate) fn control_len(head: [u8; 2 * LEN_LEN]) -> Option<usize> {
    let (escape, len) = head.split_at(LEN_LEN);
    let (len, _) = number(len)?;
    (escape == ESCAPE && len as usize <= MAX_CONTROL_LEN).then_some(len as usize)
}

/// The number at the start, and the bytes behind it.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_frames_are_those_of_libfstrm() {
        let ready = control(ControlType::Ready);
        let expected = b"\0\0\0\0\0\0\0\x22\0\0\0\x04\0\0\0\x01\0\0\0\x16protobuf:dnstap.Dnstap";
        assert_eq!(ready, expected);
        assert_eq!(control(ControlType::Stop), b"\0\0\0\0\0\0\0\x04\0\0\0\x03");
        assert_eq!(control_len(*ready.first_chunk().unwrap()), Some(34));
        let read = read_control(&ready[8..]);
        assert_eq!(read, Some(ReadControl { kind: ControlType::Ready, has_dnstap: true }));
        let other = b"\0\0\0\x01\0\0\0\x01\0\0\0\x02ab";
        assert_eq!(read_control(other), Some(ReadControl { kind: ControlType::Accept, has_dnstap: false }));
    }

    #[test]
    fn malformed_control_frames_are_refused() {
        for body in [&b""[..], b"\0\0\0", b"\0\0\0\x09", b"\0\0\0\x01\0\0\0\x01", b"\0\0\0\x01\0\0\0\x01\0\0\0\x02a"] {
            assert_eq!(read_control(body), None, "{body:?}");
        }
        assert_eq!(control_len([0, 0, 0, 1, 0, 0, 0, 4]), None, "a frame of data");
        assert_eq!(control_len([0, 0, 0, 0, 0, 0, 2, 1]), None, "513 bytes");
    }
}
