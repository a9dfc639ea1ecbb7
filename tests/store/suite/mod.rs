//! What every store promises. A driver runs all of it by giving [`each_promise`] a macro that makes
//! a test of each.

pub mod clients;
pub mod commits;
pub mod feed;
pub mod grants;
pub mod keys;
pub mod upkeep;
pub mod users;

/// Calls a macro with the list of every promise, by module.
macro_rules! each_promise {
    ($make:ident) => {
        $make! {
            clients {
                a_client_is_found_by_its_name_and_its_key
                a_client_id_is_taken_once
                an_edit_changes_neither_name_nor_epoch_nor_birth
                an_edit_keeps_the_fields_of_a_newer_version
                disabling_a_client_is_kept_and_told
                raising_a_clients_epoch_revokes_what_was_issued_below_it
                a_deleted_client_takes_everything_it_was_given_along
                what_is_done_to_a_missing_client_is_refused
                clients_page_by_key
                resources_are_found_by_uri_and_deleted
            }
            users {
                a_user_is_found_by_id_and_by_name
                a_username_is_taken_once
                a_password_is_set_and_replaced_only_if_it_is_still_the_verified_one
                raising_a_users_epoch_revokes_what_was_issued_below_it
                epochs_never_fall
                a_disabled_user_stays_known
                a_deleted_user_takes_everything_along
                users_page_by_key
                a_session_is_found_until_it_ends
                a_sessions_last_use_never_moves_back
                all_sessions_of_a_user_end_at_once
                a_consent_grows_and_is_forgotten
            }
            grants {
                families_codes_and_refresh_tokens_keep_everything_they_were_given
                a_spent_code_names_the_commit_that_spent_it
                a_rotated_refresh_token_remembers_its_answer_and_its_successor
                no_other_token_of_a_family_is_rotated
                a_rotation_holds_that_its_family_stands
                a_family_that_has_fallen_gets_no_refresh_token
                a_hundred_rotations_leave_as_many_rows_as_one
                a_revoked_family_is_found_and_listed
                families_of_a_user_are_revoked_as_asked
                what_was_never_stored_cannot_be_spent
                a_one_time_value_is_spent_once
            }
            commits {
                fifty_parallel_commits_spend_a_code_once
                fifty_parallel_rotations_leave_one_successor
                a_conflict_leaves_nothing_of_its_commit
                one_callers_conflict_fails_nobody_else
                what_was_committed_is_there_when_the_store_is_opened_again
                two_nodes_share_one_truth
            }
            feed {
                changes_come_in_commit_order
                a_reader_that_tails_the_feed_misses_nothing
                the_feed_is_read_in_pages
                a_new_feed_is_empty_and_starts_at_one
                revocations_are_listed_in_pages_and_looked_up
                a_repeated_revocation_only_gets_stronger
            }
            keys {
                a_key_moves_through_its_states
                only_one_node_moves_a_key_on
                an_algorithm_has_one_next_and_one_active_key
                nodes_that_begin_at_once_end_with_one_key
                a_key_is_sealed_anew_once_and_nobody_is_told
                a_withdrawn_key_cannot_be_sealed_anew
            }
            upkeep {
                the_sweeper_deletes_what_expired_and_nothing_else
                a_spent_code_is_kept_as_long_as_its_family
                a_sweep_deletes_no_more_than_its_limit a_family_goes_with_its_rotation
                old_changes_go_but_the_feed_still_knows_where_it_is a_change_dated_in_the_future_holds_nothing_up
                restoring_a_backup_kills_every_token
                a_store_tells_its_schema_and_its_size
            }
        }
    };
}

pub(crate) use each_promise;
