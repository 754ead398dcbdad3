"""The pages of sending. One file a feature; each module registers its own and is loaded by itself.

A page reads, asks `delivery.services` to change what there is to change, and draws. No rule lives here: what a job or a
command must hold to as well belongs into `delivery.services`.
"""
