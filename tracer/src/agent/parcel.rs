//! What an agent and its courier say to each other: findings and numbers one way, what became of them the other way.

use opentelemetry_proto::tonic::{logs::v1::LogRecord, metrics::v1::Metric};
use prost::Message as _;

use crate::metrics::delivery::Outcome;

/// The longest: a metric with as many labels as there can be, each as long as it can be.
pub const LONGEST: u32 = 16 << 20;

/// Something for the courier.
#[derive(Debug, PartialEq)]
pub enum Parcel {
    /// A finding, or a notice.
    Record(LogRecord),
    /// A metric.
    Metric(Metric),
    /// That was the last metric of this moment.
    AllMetrics,
}

impl Parcel {
    const RECORD: u8 = 1;
    const METRIC: u8 = 2;
    const ALL_METRICS: u8 = 3;

    /// As bytes: the length of what follows, its kind, and itself.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Self::Record(record) => (Self::RECORD, record.encode_to_vec()),
            Self::Metric(metric) => (Self::METRIC, metric.encode_to_vec()),
            Self::AllMetrics => (Self::ALL_METRICS, Vec::new()),
        };
        let length = body.len() as u32 + 1;
        [&length.to_le_bytes(), &[kind][..], &body].concat()
    }

    /// What follows the length; `None` for anything else.
    pub fn decode(message: &[u8]) -> Option<Self> {
        match message.split_first()? {
            (&Self::RECORD, body) => LogRecord::decode(body).ok().map(Self::Record),
            (&Self::METRIC, body) => Metric::decode(body).ok().map(Self::Metric),
            (&Self::ALL_METRICS, []) => Some(Self::AllMetrics),
            _ => None,
        }
    }
}

/// How many there were of each [`Outcome`] since the courier said so last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account([u64; Outcome::ALL.len()]);

impl Account {
    /// Its length as a message.
    pub const LENGTH: usize = size_of::<Self>();

    /// Adds so many.
    pub fn add(&mut self, outcome: Outcome, count: u64) {
        self.0[outcome as usize] += count;
    }

    /// Each that there were.
    pub fn counts(self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().map(move |outcome| (outcome, self.0[outcome as usize])).filter(|&(_, count)| count > 0)
    }

    /// As one message.
    pub fn encode(self) -> Vec<u8> {
        self.0.iter().flat_map(|count| count.to_le_bytes()).collect()
    }

    /// What [`encode`](Self::encode) has made; `None` for anything else.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (counts, []) = message.as_chunks() else { return None };
        let counts: [[u8; 8]; Outcome::ALL.len()] = counts.try_into().ok()?;
        Some(Self(counts.map(u64::from_le_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was() {
        let record = LogRecord { event_name: "x".into(), ..Default::default() };
        let metric = Metric { name: "y".into(), ..Default::default() };
        for parcel in [Parcel::Record(record), Parcel::Metric(metric), Parcel::AllMetrics] {
            let bytes = parcel.encode();
            let (length, bytes) = bytes.split_first_chunk().unwrap();
            assert_eq!(u32::from_le_bytes(*length) as usize, bytes.len());
            assert_eq!(Parcel::decode(bytes).as_ref(), Some(&parcel));
        }
        for other in [&b""[..], b"\x00", b"\x03x", b"\x01\xff", b"\x02\xff"] {
            assert_eq!(Parcel::decode(other), None, "{other:?}");
        }
        let mut account = Account::default();
        account.add(Outcome::RecordDropped, 7);
        assert_eq!(Account::decode(&account.encode()), Some(account));
        assert_eq!(account.encode().len(), Account::LENGTH);
        assert_eq!(account.counts().collect::<Vec<_>>(), [(Outcome::RecordDropped, 7)]);
        assert_eq!(Account::decode(&[0; 31]), None);
    }
}
