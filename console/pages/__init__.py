"""The pages that know no mail: the account and what is done to all of it. Each module registers its own."""
