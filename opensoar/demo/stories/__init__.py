"""What happens in the week: three attacks and everyday noise, one module each."""
