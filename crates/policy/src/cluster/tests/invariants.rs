//! What holds whatever probes say.

use proptest::prelude::*;

use super::stage::{Line, Stage, standby, writable};
use crate::topology::{Health, Leader, Role};

#[derive(Debug, Clone)]
enum Happening {
    Says(u32, Line),
    Fails(u32),
    Answers(u32, u64),
    Waits(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let node = 0_u32..3;
    let line = (0..2, 1_u32..4, 990_u64..1010, 1_i64..3, 0..20).prop_map(
        |(writes, timeline, lsn, run, stranger)| {
            let line = match (writes, timeline) {
                (0, _) => writable(timeline, lsn),
                (_, 3) => standby(None, lsn),
                _ => standby(timeline, lsn),
            };
            if stranger == 0 { line.run(run).of(99) } else { line.run(run) }
        },
    );
    prop_oneof![
        6 => (node.clone(), line).prop_map(|(node, line)| Happening::Says(node, line)),
        2 => node.prop_map(Happening::Fails),
        1 => (1_u32..4, 990_u64..1010).prop_map(|(timeline, lsn)| Happening::Answers(timeline, lsn)),
        1 => (0_u64..6000).prop_map(Happening::Waits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn there_is_one_primary_at_most_and_each_change_of_it_is_a_new_epoch(
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        let mut stage = Stage::new(3);
        let mut said: [Option<Line>; 3] = [None; 3];
        let mut last = None;
        let mut before = stage.topology();
        for happening in happenings {
            match happening {
                Happening::Says(node, line) => {
                    said[node as usize] = Some(line);
                    stage.says(node, line);
                }
                Happening::Fails(node) => drop(stage.fails(node)),
                Happening::Answers(timeline, lsn) => stage.answers(timeline, lsn),
                Happening::Waits(millis) => stage.wait(crate::testing::ms(millis)),
            }
            let topology = stage.topology();
            let primaries: Vec<_> = topology.nodes.iter().filter(|node| node.role == Role::Primary).collect();
            if let Leader::Node { id, timeline } = topology.leader {
                prop_assert_eq!(primaries.len(), 1);
                prop_assert_eq!(primaries[0].id, id);
                prop_assert!(primaries[0].health != Health::Down);
                // It said so itself, last, and no higher timeline ever led.
                let Line { state, started, .. } = said[id.0 as usize].unwrap();
                let super::super::Observed::Writable { timeline: own, .. } = state else {
                    return Err(TestCaseError::fail("a standby leads"));
                };
                prop_assert_eq!(own, timeline);
                let now = (id, timeline, started);
                if let Some((was, epoch)) = last {
                    let (_, led, _) = was;
                    prop_assert!(timeline >= led);
                    prop_assert_eq!(was == now, epoch == topology.epoch, "{:?} then {:?}", was, now);
                }
                last = Some((now, topology.epoch));
            } else {
                prop_assert_eq!(primaries.len(), 0);
            }
            prop_assert!(topology.epoch >= before.epoch && topology.generation > before.generation);
            for node in &topology.nodes {
                prop_assert!(node.role == Role::Replica || node.position.is_none());
                prop_assert!(node.fresh_at.is_none_or(|fresh| fresh <= stage.now));
                prop_assert!(node.fresh_at.is_none() || node.position.is_some());
            }
            before = topology;
        }
    }
}
