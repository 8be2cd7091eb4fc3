//! What is judged missing and what late: exactly what is.

use crate::lab::app::Recipient;
use crate::lab::policy::Fate;
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;

#[test]
fn exactly_the_lost_probes_are_missing() {
    let Some(world) = World::new("exactly_the_lost_probes_are_missing") else { return };
    let names: Vec<String> = (0..8).map(|n| format!("r{n}")).collect();
    let lost = ["r2", "r5", "r6"];
    for name in lost {
        world.lab.policy.set(&world.address(name), Fate::Lost);
    }
    let app = world.setup().recipients(names.iter().map(|n| Recipient::new(n, &world.address(n)))).start();
    let records = world.records();
    eventually(s(40), "every probe has its result", || {
        let open: Vec<String> =
            records.read()?.iter().filter(|p| p.result.is_none()).map(ToString::to_string).collect();
        so(records.read()?.len() == names.len() && open.is_empty(), || open.join("; "))
    });
    for probe in records.probes() {
        let expected = if lost.contains(&probe.recipient.as_str()) { "missing" } else { "delivered" };
        assert_eq!(probe.result.as_deref(), Some(expected), "{probe}");
        assert_eq!(probe.state, expected, "{probe}");
        assert_eq!(probe.was_missing, expected == "missing", "{probe}");
    }
    eventually(s(5), "the metrics tell it", || {
        let scrape = app.metrics()?;
        same(&scrape.sum("maildt_probes_missing_total"), &3.0)?;
        for name in lost {
            same(&scrape.count(&format!("maildt_probes_missing_total{{recipient=\"{name}\"}}")), &1.0)?;
            same(
                &scrape.count(&format!("maildt_recipient_state{{recipient=\"{name}\",state=\"missing\"}}")),
                &1.0,
            )?;
        }
        Ok(())
    });
}

#[test]
fn missing_is_never_said_before_the_deadline_and_late_remembers_it() {
    let Some(world) = World::new("missing_is_never_said_before_the_deadline_and_late_remembers_it") else {
        return;
    };
    let address = world.address("slow");
    world.lab.policy.set(&address, Fate::Held);
    let app = world.setup().recipient(Recipient::new("slow", &address)).start();
    let records = world.records();
    let accepted = eventually(s(20), "it is accepted", || records.first("slow", &["accepted"]));
    let span = accepted.deadline_at.unwrap() - accepted.accepted_at.unwrap();
    assert!((9.9..10.1).contains(&span), "the threshold counts from the acceptance, not {span} s");
    throughout(s(8), "before the deadline nothing is missing", || {
        let probe = records.first("slow", &["accepted"])?;
        so(!probe.was_missing, || probe.to_string())
    });
    eventually(s(15), "it is missing", || records.first("slow", &["missing"]));

    world.lab.release(&address);
    let late = eventually(s(15), "it is late", || records.first("slow", &["late"]));
    assert!(late.was_missing);
    assert_eq!(late.result.as_deref(), Some("missing"), "the first verdict stays");
    eventually(s(5), "the metrics tell it", || {
        let scrape = app.metrics()?;
        same(&scrape.count("maildt_probe_results_total{recipient=\"slow\",result=\"missing\"}"), &1.0)?;
        same(&scrape.count("maildt_probe_results_total{recipient=\"slow\",result=\"late\"}"), &0.0)?;
        same(&scrape.count("maildt_probes_late_total{recipient=\"slow\"}"), &1.0)
    });
    eventually(s(5), "it is removed", || same(&world.mail().count("INBOX"), &0));
}
