//! What a process does most allocates nothing.

use allocation_counter::measure;
use libos_abi::{
    Pid, Syscall, clock,
    process::{Admit, Budget, GetCwd},
};
use libos_port::Component;

use crate::rig::{HOST, ONE, Rig};

/// How many allocations a call makes, served again and again in transactions of its own.
fn allocations(rig: &mut Rig, by: Option<Pid>, call: impl Into<Syscall>) -> u64 {
    let call = call.into();
    rig.speak_as(by);
    let mut serve = || {
        rig.scheduler.begin();
        let reply = rig.scheduler.call(&mut rig.kernel, &call);
        assert!(reply.is_ok());
    };
    serve();
    measure(serve).count_total
}

#[test]
fn admission_and_looking_at_oneself_allocate_nothing() {
    let mut rig = Rig::default();
    let root = rig.launch(Budget::default());
    let mut pid = root;
    for _ in 0..8 {
        pid = rig.spawn(pid, Budget::default());
    }
    let run = rig.run(pid);
    assert_eq!(allocations(&mut rig, HOST, Admit { pid, run, charge: ONE }), 0);
    assert_eq!(allocations(&mut rig, Some(pid), GetCwd {}), 0);
    assert_eq!(allocations(&mut rig, Some(pid), clock::GetNow {}), 0);
}
