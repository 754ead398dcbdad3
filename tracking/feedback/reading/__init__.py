"""Parts of `tracking.feedback.read`: a mail taken apart, its reports, the words of its notice, and what they mean.

Pure, bounded, and raising nothing, whatever they are given.
"""
