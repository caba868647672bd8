"""Page, figures, monitor and timeline: plain data in, pictures out."""
