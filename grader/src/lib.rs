//! Socklab's grader.
