//! What every adapter must do, as cases that run on any of them.
//!
//! An adapter's tests implement [`Subject`] and name it in [`contract_tests!`](crate::contract_tests),
//! which makes one test of every case below. A case gets a fresh, empty subject. Times are arguments,
//! so that 60 days pass at once; ids are counted, so that a failure repeats.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "test code: a case fails by panicking"
)]

pub mod accounts;

pub mod sessions;

pub mod keys;

pub mod links;

pub mod invites;

pub mod factors;

pub mod erasure;

pub mod acceptance;

pub mod inboxes;

pub mod collapse;

pub mod receipts;

pub mod concurrency;

pub mod leases;

pub mod ownership;

pub mod outbox;

pub mod failures;

pub mod forwarding;

pub mod retention;

pub mod bodies;

pub mod memory;

pub mod reception;

pub mod meetings;

pub mod verdicts;

pub mod peers;

pub mod people;

pub mod profiles;

pub mod groups;

pub mod conversations;

pub mod abroad;

pub mod world;

use async_trait::async_trait;

use crate::{
    accounts::Accounts, bodies::Bodies, conversations::Conversations, erasure::Erasure,
    factors::Factors, groups::Groups, invites::Invites, keys::Keys, leases::Leases, ledger::Ledger,
    links::Links, outbox::Outbox, ownership::Ownership, peers::Peers, people::People,
    profiles::Profiles, reception::Receptions, reports::Reports, sessions::Sessions, wakes::Wakes,
};

/// Everything that an adapter of the ledger's database implements.
pub trait Store:
    Accounts
    + Sessions
    + Invites
    + Factors
    + Erasure
    + Bodies
    + Keys
    + Links
    + Ledger
    + Leases
    + Ownership
    + Outbox
    + Receptions
    + Peers
    + People
    + Groups
    + Profiles
    + Reports
    + Conversations
    + Wakes
    + Clone
    + 'static
{
}

impl<T> Store for T where
    T: Accounts
        + Sessions
        + Invites
        + Factors
        + Erasure
        + Bodies
        + Keys
        + Links
        + Ledger
        + Leases
        + Ownership
        + Outbox
        + Receptions
        + Peers
        + People
        + Groups
        + Groups
        + Profiles
        + Reports
        + Conversations
        + Wakes
        + Clone
        + 'static
{
}

/// A fresh database of the adapter under test, which goes when this is dropped.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The adapter.
    type Store: Store;

    /// Opens the database: as another process would, if [`Self::shared`], else after a restart.
    async fn open(&self) -> Self::Store;

    /// Closes a store, as a process does that ends.
    async fn close(&self, store: Self::Store);

    /// Whether several processes may have the database open.
    fn shared(&self) -> bool;
}

/// Makes a `#[tokio::test]` of every case. `$subject` is an async function without arguments that
/// returns a fresh [`Subject`].
#[macro_export]
macro_rules! contract_tests {
    ($subject:ident) => {
        $crate::contract_tests! { @ $subject;
            accounts {
                a_handle_is_given_out_once
                an_account_is_found_by_id_and_handle
                numbers_of_removed_devices_rest
                an_account_has_so_many_devices_and_no_more
                a_new_device_starts_at_the_end_of_the_inbox
                devices_added_at_once_get_different_numbers
            }
            sessions {
                a_refresh_token_is_used_once
                a_rotation_can_be_repeated_as_it_was
                a_token_used_twice_ends_its_session
                of_two_rotations_at_once_one_succeeds
                a_new_session_ends_the_devices_earlier_ones
                expired_and_ended_sessions_are_gone
                removing_a_device_ends_its_sessions
                used_tokens_are_forgotten_in_time
            }
            invites {
                an_invitation_has_so_many_uses
                invitations_end
                uses_are_counted_under_concurrency
            }
            factors {
                one_time_passwords_are_used_once
                recovery_codes_are_used_once
                tries_of_a_pin_are_counted
                tries_at_once_are_all_counted
            }
            erasure {
                a_deleted_account_is_gone_at_once
                an_erasure_goes_on_where_it_stopped
                other_regions_are_told_that_an_account_is_gone
                suspension_and_new_passwords_end_sessions
            }
            keys {
                an_identity_is_changed_only_from_what_is_known
                a_list_is_the_next_one_of_exactly_the_devices
                prekeys_are_counted_and_bounded
                a_kem_key_is_named_by_its_number_alone
                a_one_time_key_is_handed_out_once
                the_same_request_is_given_the_same
                claims_at_once_never_share_a_key
                notices_replace_each_other_and_are_read_back
                who_has_exchanged_messages_is_known
            }
            links {
                a_link_is_approved_once
                an_expired_link_is_forgotten
            }
            acceptance {
                a_message_is_stored_with_all_its_facts
                a_repetition_is_answered_with_the_first_acceptance
                a_repetition_is_known_after_reopening
                a_refusal_reserves_nothing
                prev_must_be_the_last_accepted_message
                after_must_be_known
                origin_numbers_are_dense_and_stamps_rise
                ids_belong_to_their_senders
                a_batch_of_any_size_is_accepted
                both_sides_must_have_spoken
                a_supplement_has_the_place_of_its_message
            }
            inboxes {
                pages_follow_each_other_without_a_gap
                every_arrival_names_the_head_before_it
                a_time_becomes_a_cursor
                own_devices_get_a_copy
                an_unknown_inbox_is_empty
                a_full_inbox_refuses_until_there_is_room
                what_is_acknowledged_makes_room
                what_is_discarded_takes_no_room
            }
            collapse {
                a_newer_entry_replaces_the_one_that_waits
                only_the_same_sender_conversation_and_key_collapse
                the_last_one_of_a_batch_stays
                what_was_replaced_loses_its_body
            }
            receipts {
                positions_only_rise
                watermarks_only_rise
                exceptions_are_united
                a_risen_watermark_is_one_entry_at_the_end
                too_many_exceptions_drop_the_lowest
            }
            concurrency {
                arrivals_become_visible_in_order
                one_id_is_accepted_once
                numbers_are_dense_with_two_committers
                the_first_messages_of_a_conversation_get_different_numbers
            }
            leases {
                a_lease_has_one_holder
                an_expired_lease_passes_on_with_a_higher_fence
                a_released_lease_is_free_at_once
                the_leases_of_the_dead_are_free_at_once
            }
            ownership {
                a_store_belongs_to_whoever_claims_it_first
                of_two_claims_at_once_one_counts
            }
            outbox {
                indices_are_dense_in_every_lane
                indices_become_visible_in_order
                what_was_accepted_is_offered
                a_load_is_bounded_by_entries_and_bytes
                a_stale_fence_writes_nothing
                what_is_settled_again_is_told_once
                keys_do_not_claim_messages
                waiting_bodies_outlive_the_retention
                overdue_entries_were_receipted_and_still_are
                opening_keeps_what_was_offered
                what_waits_is_listed
                random_operations_follow_the_model
            }
            failures {
                accepted_watermarks_leave_out_what_failed
                messages_to_several_fail_as_one
                a_failure_is_final
                everything_fails_in_small_rounds
                forgetting_and_failing_release_bodies
            }
            forwarding {
                a_forwarded_watermark_collapses_while_unsent
                forwards_wait_for_their_stream
                no_rise_is_lost_to_a_load
            }
            retention {
                acknowledged_entries_go_after_the_grace
                waiting_entries_go_after_the_retention
                ids_are_remembered_for_longer
                nothing_live_is_trimmed
                small_rounds_trim_as_much_as_large_ones
            }
            bodies {
                a_body_is_written_once
                old_bodies_are_deleted_as_a_range
                only_the_bodies_of_accepted_messages_are_written
                a_crash_between_body_and_commit_leaves_an_orphan_that_goes
            }
            reception {
                a_message_arrives_with_all_its_facts
                a_moved_stream_writes_nothing
                a_repeated_event_has_no_effect
                ids_belong_to_their_origin_and_sender
                a_rejected_event_stays_rejected
                a_reception_tells_what_stands_rejected
                watermarks_rise_over_numbers_that_were_given
                a_newer_received_entry_replaces_the_one_that_waits
                messages_both_ways_make_acquaintances
                received_stamps_count_in_the_conversation
                a_thousand_messages_come_in_one_envelope
            }
            meetings {
                of_two_receptions_at_once_one_is_moved
                receptions_and_commits_share_inboxes
            }
            verdicts {
                a_taken_event_is_not_rejected_later
                voids_are_listed
                verdicts_are_forgotten_with_ids
                a_full_inbox_rejects_what_comes_from_abroad
            }
            peers {
                a_key_head_is_replaced_only_as_expected
                of_two_heads_at_once_one_is_kept
                known_peers_are_listed_in_order
                a_handle_is_remembered_as_last_told
            }
            people {
                contacts_are_listed_in_order_and_bounded
                a_list_stays_bounded_under_concurrency
                a_block_comes_before_everything_else
                a_request_is_answered_once
                requests_are_bounded
                who_has_written_knows_the_other
                privacy_is_chosen
                people_are_erased
                people_of_other_regions_who_are_gone_are_forgotten
            }
            profiles {
                a_profile_replaces_the_version_before
                reports_wait_for_the_operator
            }
            groups {
                a_chain_has_one_order
                a_group_has_one_entry_in_an_inbox
                a_chain_is_read_by_those_it_concerns
                groups_are_listed_and_bounded
                links_let_people_ask
                a_group_is_left_ahead_of_its_chain
                a_deleted_account_gets_nothing_of_its_groups
                what_goes_between_regions_waits
            }
            conversations {
                conversations_are_listed_by_last_activity
                conversations_with_other_regions_are_listed
                a_discarded_message_is_for_the_sender_alone
                a_conversation_is_deleted_for_one_side
                messages_are_deleted_from_one_inbox
            }
        }
    };
    (@ $subject:ident; $($area:ident { $($case:ident)* })*) => {
        $(mod $area {
            $(#[tokio::test]
            async fn $case() {
                let subject = super::$subject().await;
                $crate::contract::$area::$case(&subject).await;
            })*
        })*
    };
}
