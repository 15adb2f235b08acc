//! `Packet`: what travels on every edge of the dataflow. One packet is one part's batch, whole.

use std::cell::OnceCell;
use std::io::Write;
use std::sync::Arc;

use timely::bytes::arc::Bytes;
use timely::communication::Push;
use timely::container::Accountable;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use voxflow_contract::{Batch, Refusal};

use super::permits::Permit;
use crate::store::RowKey;

/// A sample that a stage refused.
#[derive(Clone)]
pub(crate) struct Refused {
    /// Position of the stage in the graph.
    pub(crate) stage: usize,
    /// What the refusal is kept under; `None` when the sample could not be opened, which is tried
    /// again each time.
    pub(crate) key: Option<RowKey>,
    pub(crate) refusal: Refusal,
}

/// The rows (or the refusals) of one part, on their way.
///
/// It counts as one record whatever it holds, so that a part whose rows were all refused still
/// passes, and a join knows that nothing more will come.
#[derive(Clone, Default)]
pub(crate) struct Packet {
    /// The part, or in training the item.
    pub(crate) part: u64,
    /// Rows; `None` only for refusals and for timely's own empty containers.
    pub(crate) batch: Option<Batch>,
    /// Refusals, on the second port of a stage. They never leave the process.
    pub(crate) refused: Vec<Refused>,
    /// Keeps the bytes of the part accounted for while anyone holds the packet.
    pub(crate) permit: Option<Arc<Permit>>,
    wire: OnceCell<Vec<u8>>,
}

impl Packet {
    /// Rows of a part.
    pub(crate) fn rows(part: u64, batch: Batch, permit: Option<Arc<Permit>>) -> Self {
        Self { part, batch: Some(batch), permit, ..Self::default() }
    }

    /// Refusals of a part.
    pub(crate) fn refusals(part: u64, refused: Vec<Refused>) -> Self {
        Self { part, refused, ..Self::default() }
    }

    fn encoded(&self) -> &[u8] {
        self.wire.get_or_init(|| {
            let batch = self.batch.as_ref().expect("only packets with rows are exchanged");
            batch.encode().expect("voxflow schemas have an Arrow IPC form")
        })
    }
}

impl Accountable for Packet {
    fn record_count(&self) -> i64 {
        i64::from(self.batch.is_some() || !self.refused.is_empty())
    }
}

/// Layout: part, length of the stream, the Arrow IPC stream, zeros up to a multiple of 8.
impl ContainerBytes for Packet {
    fn from_bytes(bytes: Bytes) -> Self {
        let word = |at: usize| {
            let word: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(word)
        };
        let (part, len) = (word(0), word(8) as usize);
        let batch =
            Batch::decode(&bytes[16..16 + len]).expect("a peer of this same program sent it");
        Self::rows(part, batch, None)
    }

    fn length_in_bytes(&self) -> usize {
        16 + self.encoded().len().next_multiple_of(8)
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let encoded = self.encoded();
        let padding = encoded.len().next_multiple_of(8) - encoded.len();
        let words = [self.part.to_le_bytes(), (encoded.len() as u64).to_le_bytes()];
        writer
            .write_all(words.as_flattened())
            .and_then(|()| writer.write_all(encoded))
            .and_then(|()| writer.write_all(&[0; 8][..padding]))
            .expect("timely's buffers take what length_in_bytes announced");
    }
}

/// Sends every packet, whole, to the first worker.
pub(crate) struct ToFirst;

impl Distributor<Packet> for ToFirst {
    fn partition<T: Clone, P: Push<Message<T, Packet>>>(
        &mut self,
        packet: &mut Packet,
        time: &T,
        pushers: &mut [P],
    ) {
        Message::push_at(packet, time.clone(), &mut pushers[0]);
    }

    fn flush<T: Clone, P: Push<Message<T, Packet>>>(&mut self, _time: &T, _pushers: &mut [P]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{Values, tables};

    #[test]
    fn a_packet_survives_the_wire() {
        let hashes = [[7u8; 32], [9u8; 32]];
        let values = vec![
            Values::utf8(["a", "b"]),
            Values::utf8(["x", "y"]),
            Values::fixed_binary(32, hashes),
        ];
        let batch = Batch::new(tables::key(), values).expect("key columns");
        let packet = Packet::rows(5, batch.clone(), None);
        let mut bytes = Vec::new();
        packet.into_bytes(&mut bytes);
        assert_eq!(bytes.len(), packet.length_in_bytes());
        assert_eq!(bytes.len() % 8, 0);
        let mut slab = timely::bytes::arc::BytesMut::from(bytes);
        let len = slab.len();
        let back = Packet::from_bytes(slab.extract_to(len));
        assert_eq!((back.part, back.batch), (5, Some(batch)));
    }
}
