//! What a call of ours says of itself.

use super::{CallId, HeadersOut, Hop, Mode, Party, TraceContext};
use crate::bill::Bill;
use crate::clock;
use crate::ledger::ledger;

/// The chain as it goes out with one call, over whatever transport.
#[derive(Debug)]
pub(crate) struct Outgoing {
    trace: TraceContext,
    origin: Party,
    hop: Hop,
}

impl Outgoing {
    /// A call of this request, sent now. Without a bill it is background work, and its chain begins here.
    pub(crate) fn new(bill: Option<&Bill>, call_id: CallId, mode: Mode) -> Self {
        let service = ledger().service().service;
        let (operation, origin, trace) = match bill {
            Some(bill) => {
                let (service, operation) = bill.origin();
                let origin = Party {
                    service: service.clone(),
                    operation: operation.clone(),
                };
                (bill.operation().clone(), origin, bill.trace())
            }
            None => {
                let origin = Party {
                    service: service.clone(),
                    operation: "".into(),
                };
                ("".into(), origin, TraceContext::new_root())
            }
        };
        let hop = Hop {
            caller: Party { service, operation },
            call_id,
            mode,
            sent_unix_us: clock::wall_unix_ns() / 1_000,
        };
        Self { trace, origin, hop }
    }

    /// As headers or properties.
    pub(crate) fn headers(&self) -> HeadersOut<'_> {
        HeadersOut {
            trace: self.trace,
            origin: &self.origin,
            hop: &self.hop,
        }
    }
}
