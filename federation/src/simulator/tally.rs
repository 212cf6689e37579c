//! What happened in the schedules: a test that saw no faults has shown nothing.

/// What happened in a run, or in many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) messages: u64,
    pub(super) envelopes: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) crashes: u64,
    pub(super) half_written: u64,
    pub(super) restores: u64,
    pub(super) clones: u64,
    pub(super) partitions: u64,
    pub(super) incarnations: u64,
    pub(super) rewinds: u64,
    pub(super) refusals: u64,
    pub(super) rejections: u64,
    pub(super) voids: u64,
    pub(super) alarms: u64,
    pub(super) forgotten: u64,
}

impl Tally {
    fn fields(&mut self) -> [(&'static str, &mut u64); 16] {
        [
            ("messages", &mut self.messages),
            ("envelopes", &mut self.envelopes),
            ("lost", &mut self.lost),
            ("doubled", &mut self.doubled),
            ("crashes", &mut self.crashes),
            ("half written", &mut self.half_written),
            ("restores", &mut self.restores),
            ("clones", &mut self.clones),
            ("partitions", &mut self.partitions),
            ("incarnations", &mut self.incarnations),
            ("rewinds", &mut self.rewinds),
            ("refusals", &mut self.refusals),
            ("rejections", &mut self.rejections),
            ("voids", &mut self.voids),
            ("alarms", &mut self.alarms),
            ("forgotten", &mut self.forgotten),
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut other = *other;
        for ((_, sum), (_, more)) in self.fields().into_iter().zip(other.fields()) {
            *sum += *more;
        }
    }

    /// A simulator that never does the harm it promises proves nothing.
    pub(super) fn assert_every_fault_occurred(&self, schedules: u64) {
        for (name, count) in self.clone().fields() {
            assert!(*count > 0, "no {name} in {schedules} schedules");
        }
    }
}
