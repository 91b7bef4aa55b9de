"""Questions asked once, each a command of its own; nothing else imports them."""
