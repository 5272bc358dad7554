defmodule Consumer.MixProject do
  use Mix.Project

  def project do
    [app: :consumer, version: "0.1.0", elixir: "~> 1.14", deps: deps()]
  end

  def application do
    [extra_applications: [:logger]]
  end

  # ALCOVE_PATH is the directory of the tree that is tested.
  defp deps do
    [{:alcove, path: System.fetch_env!("ALCOVE_PATH"), manager: :rebar3}]
  end
end
