//! The Grafana dashboards: their form, what they ask for, and that a real Prometheus has an answer.

mod bundle;
mod contract;
mod data;
mod form;
mod layout;
mod lint;
mod promql;
mod scene;
mod variables;
