//! Server-sent events (WHATWG HTML, section 9.2), as far as a registry sends them.

/// More than this without an event's end is no registry.
const MAX_BUFFER: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// The last `id` seen.
    pub(super) id: String,
    /// `event`; empty when absent.
    pub(super) name: String,
    /// `data`, its lines joined.
    pub(super) data: String,
}

/// Turns chunks, cut anywhere, into events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: Vec<u8>,
    next: Event,
    has_data: bool,
}

/// The stream is not one of events.
#[derive(Debug, thiserror::Error)]
#[error("an event without end")]
pub(super) struct TooLong;

impl Parser {
    /// Adds a chunk; returns the events that it completed.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, TooLong> {
        self.buffer.extend_from_slice(chunk);
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(end) = self.buffer[begin..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| begin + at)
        {
            let line = String::from_utf8_lossy(&self.buffer[begin..end]).into_owned();
            begin = end + 1;
            events.extend(self.line(line.trim_end_matches('\r')));
        }
        self.buffer.drain(..begin);
        if self.buffer.len() + self.next.data.len() > MAX_BUFFER {
            Err(TooLong)
        } else {
            Ok(events)
        }
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = self.next.clone();
            (self.next.name, self.next.data) = (String::new(), String::new());
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.next.name = value.to_owned(),
            "id" => self.next.id = value.to_owned(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.next.data.push('\n');
                }
                self.next.data.push_str(value);
            }
            _ => {} // comments have an empty field name
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_may_be_cut_anywhere(cuts in proptest::collection::vec(1_usize..9, 1..40)) {
            let text = b": hello\n\nid: e.1\nevent: snapshot\ndata: {\"a\":1}\n\n: ping\n\nid: e.2\r\nevent:change\r\ndata: x\r\ndata: y\r\n\r\nevent: none\n\n";
            let (mut parser, mut events, mut rest) = (Parser::default(), Vec::new(), &text[..]);
            for cut in cuts.iter().cycle() {
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                events.extend(parser.push(chunk).unwrap());
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            let event = |id: &str, name: &str, data: &str| Event { id: id.into(), name: name.into(), data: data.into() };
            prop_assert_eq!(events, vec![event("e.1", "snapshot", "{\"a\":1}"), event("e.2", "change", "x\ny")]);
        }
    }
}
